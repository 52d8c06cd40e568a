"""TUM RGB-D sequences."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.open import open_source
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import interpolate

T = 1305031102


@pytest.fixture
def sequence(tmp_path, make_pose, save_image, pose_line):
    """Three colour images, one depth image, ground truth at 100 Hz around the first two."""
    root = tmp_path / "rgbd_dataset_freiburg1_xyz"
    stamps = [f"{T}.175300", f"{T}.211200", f"{T}.900000"]
    for index, stamp in enumerate(stamps):
        save_image(root / "rgb" / f"{stamp}.png", index, width=640, height=480)
    (root / "depth").mkdir()
    cv2.imwrite(str(root / "depth" / "d.png"), np.full((480, 640), 5000, np.uint16))
    header = "# color images\n# file: 'x.bag'\n"
    (root / "rgb.txt").write_text(header + "".join(f"{s} rgb/{s}.png\n" for s in stamps))
    (root / "depth.txt").write_text(f"{header}{T}.160300 depth/d.png\n")
    truth = {"170000": 0, "180000": 1, "230000": 2}
    lines = [f"{T}.{us} {pose_line(make_pose(seed))}\n" for us, seed in truth.items()]
    (root / "groundtruth.txt").write_text("# ground truth\n" + "".join(lines))
    return root


def test_reads(sequence, make_pose, same_pose):
    source = open_source(sequence)
    assert source.metric and "CC BY" in source.licence
    assert [i.map_from_camera is not None for i in source.images] == [True, True, False]
    expected = interpolate(make_pose(0), make_pose(1), 0.53)
    assert same_pose(source.images[0].map_from_camera, expected, 1e-4)  # the stamp is a float's
    assert source.images[0].stamp == pytest.approx(T + 0.1753)
    assert (load_depth := source.images[0].load_depth) is not None and load_depth()[0, 0] == 1.0
    assert source.images[1].load_depth is None  # 51 ms from the depth image
    assert source.images[0].camera.model == "plumb_bob" and source.images[0].camera.fx == 517.3
    assert source.images[0].frame().image.shape == (480, 640, 3)


@pytest.mark.parametrize(("name", "fx"), [("rgbd_dataset_freiburg2_desk", 520.9), ("fr3_office", 535.4)])
def test_the_camera_follows_from_the_name(sequence, name, fx):
    assert open_source(sequence.rename(sequence.with_name(name))).images[0].camera.fx == fx


def test_another_name_needs_a_camera(sequence):
    other = sequence.rename(sequence.with_name("mine"))
    with pytest.raises(DatasetError, match="pass camera"):
        open_source(other)
    camera = Camera("pinhole", 500, 500, 320, 240, 640, 480)
    assert open_source(other, camera=camera).images[0].camera == camera


def test_splits(sequence):
    assert [i.split for i in open_source(sequence, query_every=2).images] == ["map", "query", "map"]
    assert len(open_source(sequence, split="query").queries) == 3
    assert len(open_source(sequence, min_distance_m=0.01).images) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rgb.txt", "1.0\n", r"rgb.txt:1: expected 2 fields"),
        ("rgb.txt", "x rgb/a.png\n", r"rgb.txt:1: expected numbers"),
        ("rgb.txt", "1.0 ../a.png\n", r"rgb.txt:1: expected a name inside"),
        ("rgb.txt", f"1.0 {'a' * 300}.png\n", r"rgb.txt:1: expected a name inside"),
        ("rgb.txt", "1e300 a.png\n", r"rgb.txt:1: expected a stamp in seconds"),
        ("groundtruth.txt", "1e300 2 3 4 0 0 0 1\n", r"groundtruth.txt:1: expected a stamp in seconds"),
        ("rgb.txt", "1.0 a.png\n1.0 b.png\n", r"rgb.txt:2: the stamp 1.0 is listed twice"),
        ("rgb.txt", f"{T}.1753 rgb/none.png\n", r"none.png: no such image"),
        ("rgb.txt", "5.0 rgb/a.png\n", "ground truth within 20 ms"),
        ("groundtruth.txt", "1 2 3 4 5 6 7\n", r"groundtruth.txt:1: expected 8 fields"),
        ("groundtruth.txt", "1 2 3 4 0 0 0 0\n", r"quaternion of norm 1"),
        ("groundtruth.txt", "1 2 3 nan 0 0 0 1\n", r"expected finite"),
        ("groundtruth.txt", "# none\n", "ground truth within 20 ms"),
    ],
)
def test_bad_files(sequence, name, text, message):
    (sequence / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_source(sequence)
