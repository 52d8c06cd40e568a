"""The CrossLoc benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.datasets.open import detect_format, open_source
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera

sys.path.insert(0, str(Path(__file__).parent))
from scene_trees import save_tensor, wall_labels, wall_poses, write_section

CAMERA = Camera("pinhole", 64.0, 64.0, 48.0, 32.0, 96, 64)
SECTIONS = ("train_sim", "train_drone_real", "val_drone_sim", "test_oop_drone_real")


@pytest.fixture
def scene(tmp_path):
    """Four sections of two images."""
    for name in SECTIONS:
        write_section(tmp_path / name, CAMERA, wall_poses(2), "64")
        for k, pose in enumerate(wall_poses(2)):
            labels = wall_labels(CAMERA, pose)
            labels[1, 1, 2] = -1
            save_tensor(tmp_path / name / "init" / f"{k}.dat", labels)
            save_tensor(tmp_path / name / "depth" / f"{k}.dat", np.ones((1, 8, 12), np.float32))
            (tmp_path / name / "normal").mkdir(exist_ok=True)
            (tmp_path / name / "semantics").mkdir(exist_ok=True)
            classes = np.tile(np.array([0, 1, 2, 3, 6, 9, 17, 0], np.uint8), (64, 12))
            np.save(tmp_path / name / "semantics" / f"{k}.npy", classes)
    return tmp_path


def test_sections_are_splits_and_domains(scene):
    assert detect_format(scene) == "crossloc"
    source = open_source(scene)
    assert len(source.references) == 4 and len(source.queries) == 4
    assert {image.name.split("/")[0]: (image.split, image.domain) for image in source.images} == {
        "train_sim": ("map", "simulated"),
        "train_drone_real": ("map", "real"),
        "val_drone_sim": ("query", "simulated"),
        "test_oop_drone_real": ("query", "real"),
    }
    some = open_source(scene, sections="train_sim,val_drone_sim")
    assert {image.name.split("/")[0] for image in some.images} == {"train_sim", "val_drone_sim"}
    with pytest.raises(DatasetError, match="no section 'train_real'; there are train_drone_real, train_sim"):
        open_source(scene, sections="train_real")
    one = open_source(scene / "train_sim")
    assert len(one.images) == 2 and one.images[0].name.startswith("train_sim/")


def test_labels_are_those_of_cell_centres_and_minus_one_is_unknown(scene):
    image = open_source(scene).references[0]
    coordinates = image.load_coordinates()
    assert np.argwhere(np.isnan(coordinates).any(axis=2)).tolist() == [[1, 2]]
    pixels = image.camera.project(image.map_from_camera.inverse().apply(coordinates[5, 7][None]))
    np.testing.assert_allclose(pixels, [[60, 44]], atol=1e-3)
    assert image.load_depth is None  # it is the coordinates' own


def test_labels_of_corners_are_moved_to_the_middle(tmp_path):
    pose = wall_poses(1)[0]
    write_section(tmp_path / "train_sim", CAMERA, [pose], "64")
    labels = wall_labels(CAMERA, pose, first=0)
    labels[:, 4:, 6] += 20  # the edge of something else
    save_tensor(tmp_path / "train_sim/init/0.dat", labels)
    found = open_source(tmp_path, label_pixel="corner").images[0].load_coordinates()
    known = np.isfinite(found).all(axis=2)
    assert (
        known[:3, :11].all() and not known[7].any() and not known[:, 11].any() and not known[4:7, 5:7].any()
    )
    local = pose.inverse().apply(found[known])
    y, x = np.nonzero(known)
    np.testing.assert_allclose(CAMERA.project(local), np.stack([8 * x + 4, 8 * y + 4], 1), atol=0.2)
    np.testing.assert_allclose(found[known][:, 2], 5, atol=1e-4)


def test_classes_are_renumbered_and_unknown_ones_refused(scene):
    image = open_source(scene).images[0]
    assert image.load_semantics()[0, :8].tolist() == [0, 1, 1, 2, 3, 4, 5, 0]
    file = scene / "train_drone_real/semantics/0.npy"
    np.save(file, np.full((64, 96), 4, np.uint8))
    with pytest.raises(DatasetError, match=r"0\.npy: expected the classes .* found \[4\]"):
        image.load_semantics()
    np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"0\.npy"):
        image.load_semantics()


def test_depth_alone_is_read(scene):
    for name in SECTIONS:
        for file in (scene / name / "init").iterdir():
            file.unlink()
    depth = open_source(scene).images[0].load_depth()
    assert depth.shape == (64, 96) and depth.min() == depth.max() == 1
