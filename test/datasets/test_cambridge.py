"""Cambridge Landmarks trees."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.datasets.open import open_source
from relpose_ros.errors import DatasetError

HEADER = "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"


def line(name, pose):
    """Centre, then the quaternion w x y z of camera-from-world."""
    x, y, z, w = pose.inverse().rotation_xyzw
    return f"{name} {' '.join(f'{v:.12f}' for v in (*pose.translation, w, x, y, z))}\n"


@pytest.fixture
def scene(tmp_path, make_pose, save_image):
    """Three PNG images; the model names them .jpg, as the published ones do."""
    root = tmp_path / "ShopFacade"
    names = ["seq1/frame00001.png", "seq2/frame00001.png", "seq2/frame00002.png"]
    for index, name in enumerate(names):
        save_image(root / name, index)
    lines = [line(name, make_pose(i)) for i, name in enumerate(names)]
    (root / "dataset_train.txt").write_text(HEADER + lines[1] + lines[2])
    (root / "dataset_test.txt").write_text(HEADER + lines[0])
    cameras = [f"{n[:-4]}.jpg {1600 + i}.5 1 0 0 0 0 0 0 -0.02 0\n" for i, n in enumerate(names)]
    (root / "reconstruction.nvm").write_text(f"NVM_V3 \n\n{len(names)}\n{''.join(cameras)}\n0\n")
    return root


def test_reads(scene, make_pose, same_pose, make_image):
    source = open_source(scene)
    assert source.metric and len(source.references) == 2
    (query,) = source.queries
    assert query.name == "seq1/frame00001.png"
    assert same_pose(query.map_from_camera, make_pose(0))
    assert (query.camera.fx, query.camera.fy) == (1600.5, 1600.5)
    assert (query.camera.cx, query.camera.cy) == (
        15.5,
        11.5,
    )  # the middle of 32x24, counted from pixel centres
    assert source.references[1].camera.fx == 1602.5
    assert np.array_equal(query.load(), make_image(0))


def test_the_focal_length_may_be_given(scene):
    (scene / "reconstruction.nvm").unlink()
    with pytest.raises(DatasetError, match="add it or pass focal"):
        open_source(scene)
    assert open_source(scene, focal=1670.0).images[0].camera.fx == 1670


def test_far_outliers_are_dropped(scene, make_pose):
    text = (scene / "dataset_train.txt").read_text().splitlines()
    fields = text[-1].split()
    fields[1] = "123456.0"
    (scene / "dataset_train.txt").write_text("\n".join([*text[:-1], " ".join(fields)]))
    assert len(open_source(scene).references) == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "dataset_test.txt",
            HEADER + "seq1/frame00001.png 1 2 3 1 0 0\n",
            r"dataset_test.txt:4: expected 8 fields",
        ),
        ("dataset_test.txt", HEADER + "seq1/frame00001.png 1 2 3 0 0 0 0\n", "quaternion of norm 1"),
        ("dataset_test.txt", HEADER + "seq1/frame00001.png 1 2 nan 1 0 0 0\n", "expected finite"),
        ("dataset_test.txt", HEADER + "../x.png 1 2 3 1 0 0 0\n", "expected a name inside"),
        ("dataset_test.txt", HEADER + "seq2/frame00001.png 1 2 3 1 0 0 0\n", "listed twice"),
        ("dataset_test.txt", HEADER + "seq9/no.png 1 2 3 1 0 0 0\n", "no focal length for 'seq9/no.png'"),
        ("reconstruction.nvm", "NVM_V3\n\n9\nseq1/a.jpg 1 1 0 0 0 0 0 0 0 0\n", "expected 9 cameras"),
        (
            "reconstruction.nvm",
            "NVM_V3\n\n1\nseq1/a.jpg 1600 1 0\n",
            r"reconstruction.nvm:4: expected 11 fields",
        ),
        ("reconstruction.nvm", "hello\nyou\n", "expected an NVM_V3 file"),
        ("reconstruction.nvm", "", "expected an NVM_V3 file"),
    ],
)
def test_bad_files(scene, name, text, message):
    (scene / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_source(scene)


def test_a_missing_image(scene):
    (scene / "seq1" / "frame00001.png").unlink()
    with pytest.raises(DatasetError, match="there is no image"):
        open_source(scene)


def test_no_images(scene):
    for name in ("dataset_train.txt", "dataset_test.txt"):
        (scene / name).write_text(HEADER)
    with pytest.raises(DatasetError, match="list no image"):
        open_source(scene)
