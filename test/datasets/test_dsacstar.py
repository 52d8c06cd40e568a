"""Scenes as DSAC*'s scripts set them up."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.datasets.open import detect_format, open_source
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera

sys.path.insert(0, str(Path(__file__).parent))
from scene_trees import save_tensor, wall_labels, wall_poses, write_section

CAMERA = Camera("pinhole", 70.0, 70.0, 48.0, 32.0, 96, 64)


@pytest.fixture
def scene(tmp_path):
    """Two images to map, one to test; labels of the first kind."""
    for name, poses in (("train", wall_poses(2)), ("test", wall_poses(3)[2:])):
        write_section(tmp_path / name, CAMERA, poses, "70.0\n")
        for k, pose in enumerate(poses):
            save_tensor(tmp_path / name / "init" / f"{k}.dat", wall_labels(CAMERA, pose))
    return tmp_path


def test_images_poses_and_labels_belong_together_by_order(scene):
    assert detect_format(scene) == "dsacstar"
    source = open_source(scene)
    assert len(source.references) == 2 and len(source.queries) == 1
    for image, pose in zip(source.references, wall_poses(2), strict=True):
        np.testing.assert_allclose(image.map_from_camera.matrix, pose.matrix, atol=1e-9)
        coordinates = image.load_coordinates()
        assert coordinates.shape == (8, 12, 3) and image.load().shape == (64, 96, 3)
        local = pose.inverse().apply(coordinates.reshape(-1, 3))
        expected = np.stack(np.meshgrid(np.arange(12) * 8 + 4, np.arange(8) * 8 + 4), -1).reshape(-1, 2)
        np.testing.assert_allclose(image.camera.project(local), expected, atol=1e-3)


def test_zeros_are_unknown_and_another_number_can_be(scene):
    labels = wall_labels(CAMERA, wall_poses(1)[0])
    labels[:, 2, 3] = 0
    labels[0, 4, 5] = 0  # one zero is a coordinate
    save_tensor(scene / "train/init/0.dat", labels)
    unknown = ~np.isfinite(open_source(scene).images[0].load_coordinates()).all(axis=2)
    assert np.argwhere(unknown).tolist() == [[2, 3]]
    labels[0, 4, 5] = -1
    save_tensor(scene / "train/init/0.dat", labels)
    unknown = ~np.isfinite(open_source(scene, invalid=-1.0).images[0].load_coordinates()).all(axis=2)
    assert np.argwhere(unknown).tolist() == [[4, 5]]


def test_a_portrait_image_keeps_its_focal_length_and_a_matrix_its_own(tmp_path):
    portrait = Camera("pinhole", 70.0, 70.0, 32.0, 48.0, 64, 96)
    write_section(tmp_path / "train", portrait, wall_poses(1), "70")
    assert open_source(tmp_path).images[0].camera == portrait
    write_section(tmp_path / "test", portrait, wall_poses(1), "71 0 30.5\n0 73 47\n0 0 1\n")
    assert open_source(tmp_path).queries[0].camera == Camera("pinhole", 71.0, 73.0, 30.5, 47.0, 64, 96)


def test_depth_rendered_or_measured(scene):
    rendered = np.zeros((32, 48), np.uint16)
    rendered[8, 10] = 2500
    measured = np.full((3, 8, 12), 0, np.float32)
    measured[:, 3, 4] = 0.1, 0.2, 3.0
    for name, count in (("train", 2), ("test", 1)):
        (scene / name / "depth").mkdir()
        for k in range(count):
            cv2.imwrite(str(scene / name / "depth" / f"{k}.png"), rendered)
            save_tensor(scene / name / "eye" / f"{k}.dat", measured)
    image = open_source(scene).images[0]
    assert image.load_depth().shape == (64, 96) and np.unique(image.load_depth()).tolist() == [0, 2.5]
    assert image.load_depth()[16:18, 20:22].min() == 2.5
    eye = open_source(scene, depth="measured").images[0].load_depth()
    assert eye[24:32, 32:40].min() == 3 and (eye > 0).sum() == 64
    assert open_source(scene, depth="none").images[0].load_depth is None
    with pytest.raises(DatasetError, match="expected rendered"):
        open_source(scene, depth="both")


def test_numbers_that_differ_are_refused(scene):
    (scene / "train/init/1.dat").unlink()
    with pytest.raises(DatasetError, match="2 images in rgb, but 1 files in init"):
        open_source(scene)
    (scene / "train/init/0.dat").unlink()
    assert open_source(scene).images[0].load_coordinates is None
    (scene / "train/poses/00001.txt").unlink()
    with pytest.raises(DatasetError, match="1 files in poses"):
        open_source(scene)


def test_a_lost_pose_is_left_out(scene):
    (scene / "train/poses/00000.txt").write_text("\n".join(["inf 0 0 0"] * 4))
    assert [image.name for image in open_source(scene).references] == ["train/rgb/seq-01.color.png"]


@pytest.mark.parametrize("text", ["", "1 2 3", "abc", "0", "70 1 2 0 70 4 0 0 1", "nan"])
def test_a_calibration_that_is_none(scene, text):
    (scene / "train/calibration/c0.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"c0\.txt"):
        open_source(scene)


class Evil:
    """Unpickled, it leaves a file."""

    def __reduce__(self):
        return (open, ("pwned", "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_hostile_files_are_words_not_deeds(scene, monkeypatch):
    monkeypatch.chdir(scene)
    file = scene / "train/init/0.dat"
    for write in (
        lambda: file.write_bytes(pickle.dumps(Evil())),
        lambda: torch.save(Evil(), file),
        lambda: torch.save([1, 2], file),
        lambda: torch.save(torch.zeros(4, 8, 12), file),
        lambda: torch.save(torch.zeros(3, 0, 12), file),
        lambda: torch.save(torch.zeros(3, 8, 12, dtype=torch.bool), file),
        lambda: file.write_bytes(b""),
        lambda: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        file.unlink,
    ):
        image = open_source(scene).images[0]
        write()
        with pytest.raises(DatasetError, match=r"0\.dat"):
            image.load_coordinates()
        assert not (scene / "pwned").exists()
        save_tensor(file, wall_labels(CAMERA, wall_poses(1)[0]))
