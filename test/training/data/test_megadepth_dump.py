"""The published dump: read, and refused with the file's name when it is something else."""

from __future__ import annotations

import os

import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_training.data.megadepth_dump import MegaDepthDump

IMAGE = {
    "image_path": "Undistorted_SfM/7/images/a.jpg",
    "depth_path": "d.h5",
    "intrinsics": np.diag([500.0, 500.0, 1.0]),
    "pose": np.eye(4),
    "keypoints": np.ones((5, 2), np.float32),
    "scores": np.ones(5, np.float32),
    "descriptors": np.ones((5, 8), np.float32),
    "image_size": np.array([480, 640, 3]),
    "depth": np.ones(5, np.float32),
}
PAIR = {
    "image_path1": "Undistorted_SfM/7/images/a.jpg",
    "image_path2": "Undistorted_SfM/7/images/b.jpg",
    "matched_ids1": np.array([0, 2]),
    "matched_ids2": np.array([4, 1]),
}


def save(root, where, value):
    path = root / where
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, value, allow_pickle=True)
    return path


@pytest.fixture
def dump(tmp_path):
    save(tmp_path, "keypoints_spp/7/a.jpg_spp.npy", IMAGE)
    save(tmp_path, "matches_sep_spp/7/0.npy", PAIR)
    save(tmp_path, "mega_scene_nmatches_spp.npy", {"7": 1})
    return MegaDepthDump(tmp_path)


def test_what_is_in_a_dump(dump):
    assert dump.pair_counts() == {"7": 1}
    pair = dump.pair("7", 0)
    assert pair.matches.tolist() == [[0, 4], [2, 1]]
    image = dump.image("7", pair.image_paths[0])
    assert image.size == (640, 480) and image.image_path == IMAGE["image_path"]
    assert image.matrix[:2, 2].tolist() == [-0.5, -0.5]  # from COLMAP's corner to the pixel's centre
    assert image.descriptors.shape == (5, 8) and image.camera_from_world.rotation.shape == (3, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"scores": np.ones(4, np.float32)},
        {"keypoints": np.ones((5, 3))},
        {"pose": np.eye(3)},
        {"image_path": 3},
        {"descriptors": ["a"]},
        {"depth": None},
    ],
)
def test_an_image_that_does_not_fit_is_named(dump, change):
    save(dump.root, "keypoints_spp/7/a.jpg_spp.npy", {**IMAGE, **change})
    with pytest.raises(DatasetError, match=rf"a\.jpg_spp\.npy: expected .*{next(iter(change))}"):
        dump.image("7", "a.jpg")


def test_other_files_are_refused(dump):
    save(dump.root, "mega_scene_nmatches_spp.npy", {"7": "many"})
    with pytest.raises(DatasetError, match="numbers of pairs"):
        dump.pair_counts()
    save(dump.root, "matches_sep_spp/7/0.npy", np.eye(3))
    with pytest.raises(DatasetError, match="expected a dictionary, got ndarray"):
        dump.pair("7", 0)
    with pytest.raises(DatasetError, match="cannot be read"):
        dump.pair("7", 1)


def test_a_hostile_file_is_refused_and_nothing_ran(dump, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    save(dump.root, "keypoints_spp/7/a.jpg_spp.npy", {**IMAGE, "depth": Bomb()})
    with pytest.raises(DatasetError, match="Nothing of it was executed"):
        dump.image("7", "a.jpg")
    assert not (tmp_path / "ran").exists()


def test_paths_stay_in_the_dump(dump):
    outside = save(dump.root.parent, "outside.jpg_spp.npy", IMAGE)
    for scene in ("..", "a/b", "", "a\\b"):
        with pytest.raises(DatasetError, match="cannot be the name"):
            dump.pair(scene, 0)
    with pytest.raises(DatasetError, match="cannot be read"):
        dump.image("7", "../../../outside.jpg")  # looked for by its name alone, in the scene
    outside.unlink()
