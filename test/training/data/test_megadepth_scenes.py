"""MegaDepth as D2-Net prepared it, laid out here with images of the wall."""

from __future__ import annotations

import os

import cv2
import h5py
import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_training.data.matching_options import MatchingOptions
from relpose_training.data.matching_sequences import labelled_pairs
from relpose_training.data.megadepth_scenes import MegaDepthScene, megadepth_scenes

OPTIONS = MatchingOptions(max_keypoints=250, pairs=4, least_keypoints=40)
WANTED = np.array([[0, 0.5, 0.9, 0.3], [0.4, 0, 0.05, 0.6], [0.9, 0.9, 0, -1], [0.3, 0.7, 0.2, 0]])


def objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.fixture
def base(tmp_path, wall):
    """Four images; a fifth place is empty, as D2-Net leaves out images without depth."""
    images = wall(4)
    names = [f"Undistorted_SfM/0007/images/{image.name}" for image in images]
    depths = [f"phoenix/0007/depths/{k}.h5" for k in range(4)]
    for name, depth, image in zip(names, depths, images, strict=True):
        for path in (name, depth):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), image.load())
        with h5py.File(tmp_path / depth, "w") as file:
            file["depth"] = image.load_depth()
    K = np.array([[150.0, 0, 100], [0, 150, 75], [0, 0, 1]])  # COLMAP's pixels
    overlap = np.full((5, 5), -1.0)
    overlap[:4, :4] = WANTED
    info = {
        "image_paths": objects([*names, None]),
        "depth_paths": objects([*depths, None]),
        "intrinsics": objects([K] * 4 + [None]),
        "poses": objects([image.map_from_camera.inverse().matrix for image in images] + [None]),
        "overlap_matrix": overlap,
    }
    save(tmp_path, info)
    return tmp_path, info


def save(base, info):
    (base / "scene_info").mkdir(exist_ok=True)
    np.savez(base / "scene_info" / "0007.0.npz", **info)


def test_its_images_are_ours(base, wall):
    (scene,) = megadepth_scenes(base[0])
    found = scene.images()
    assert scene.name == "0007" and len(found) == 4
    for image, ours in zip(found, wall(4), strict=True):
        assert image.camera == ours.camera
        np.testing.assert_allclose(image.map_from_camera.matrix, ours.map_from_camera.matrix, atol=1e-12)
        assert np.array_equal(image.load(), cv2.cvtColor(ours.load(), cv2.COLOR_GRAY2BGR)) or np.array_equal(
            image.load(), ours.load()
        )
        assert np.array_equal(image.load_depth(), ours.load_depth())


def test_pairs_have_the_overlap_that_the_scene_says(base, tmp_path):
    scene = MegaDepthScene(base[0], "0007")
    pairs = list(labelled_pairs(scene, OPTIONS, tmp_path / "kept"))
    found = {
        tuple(sorted(int(n[-7:-4]) for n in pair.names)): float(pair.sample["overlap"]) for pair in pairs
    }
    assert found == pytest.approx({(0, 1): 0.4, (0, 3): 0.3, (1, 3): 0.6})  # 0, 2: too much; 1, 2: too little


def test_a_depth_map_that_cannot_be_read_costs_its_image(base, tmp_path):
    (base[0] / "phoenix/0007/depths/1.h5").write_bytes(b"broken")
    with h5py.File(base[0] / "phoenix/0007/depths/2.h5", "w") as file:
        file["depth"] = np.ones((3, 4))
    tally = OPTIONS.new_tally()
    list(labelled_pairs(MegaDepthScene(base[0], "0007"), OPTIONS, tmp_path / "kept", tally=tally))
    assert tally.unreadable == 2 and tally.images == 2


def test_a_scene_that_is_not_there(base):
    with pytest.raises(DatasetError, match=r"scene_info/0008\.0\.npz"):
        megadepth_scenes(base[0], ["0007", "0008"])
    with pytest.raises(DatasetError, match="0 scenes are there"):
        megadepth_scenes(base[0] / "phoenix")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_paths": objects(["../../etc/passwd"] * 5)}, "inside the dataset's folder"),
        ({"depth_paths": objects(["/etc/passwd"] * 5)}, "inside the dataset's folder"),
        ({"poses": np.zeros((3, 4, 4))}, "different lengths"),
        ({"intrinsics": objects([np.zeros(3)] * 5)}, "not a camera"),
        ({"intrinsics": objects([np.zeros((3, 3))] * 5)}, "not a camera"),
    ],
)
def test_hostile_and_damaged_scenes(base, change, message):
    save(base[0], {**base[1], **change})
    with pytest.raises(DatasetError, match=message):
        MegaDepthScene(base[0], "0007").images()


def test_nothing_of_a_scene_is_executed(base, tmp_path):
    save(base[0], {**base[1], "poses": objects([Bomb(str(tmp_path / "ran"))] * 5)})
    with pytest.raises(DatasetError, match="Nothing of it was executed"):
        MegaDepthScene(base[0], "0007").images()
    assert not (tmp_path / "ran").exists()


def test_a_truncated_scene(base):
    path = base[0] / "scene_info" / "0007.0.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"0007\.0\.npz"):
        MegaDepthScene(base[0], "0007").images()
