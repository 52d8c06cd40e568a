"""Evaluation sets in the published layout: from our sources, and from the raw layouts of YFCC and ScanNet."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass

import cv2
import h5py
import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_ros.features.registry import make_extractor
from relpose_ros.features.resized import Resized
from relpose_training.data.evaluation_pairs import write_evaluation
from relpose_training.data.matching_options import MatchingOptions
from relpose_training.data.matching_pairs import read_pairs
from relpose_training.data.published_pairs import SCANNET_SIZE, published_pairs

OPTIONS = MatchingOptions(
    features="rootsift128",
    max_keypoints=200,
    scores="detector",
    pairs=4,
    least_keypoints=40,
    most_overlap=1.0,
)


@dataclass(frozen=True)
class Walls:
    wall: object
    name: str = "wall"

    def images(self):
        return self.wall(5)


def test_a_source_of_ours(wall, tmp_path):
    path = tmp_path / "out" / "wall_root_200.hdf5"
    assert write_evaluation(path, [Walls(wall)], OPTIONS) == 4
    poses = {f"wall/{image.name}": image for image in wall(5)}
    pairs = list(read_pairs(path))
    for pair in pairs:
        first, second = (poses[name] for name in pair.image_paths)
        move = second.map_from_camera.inverse() @ first.map_from_camera
        np.testing.assert_allclose(pair.second_from_first.rotation, move.rotation, atol=1e-6)
        away = move.translation / np.linalg.norm(move.translation)
        np.testing.assert_allclose(pair.second_from_first.translation, away, atol=1e-5)
        features = make_extractor("rootsift128", 200).extract(first.load())
        np.testing.assert_allclose(pair.features[0].keypoints[:, :2], features.keypoints, atol=1e-3)
        np.testing.assert_allclose(pair.features[0].keypoints[:, 2], features.scores)
        assert (pair.features[0].descriptors * features.descriptors).sum(1).min() > 0.999
        np.testing.assert_allclose(pair.matrices[0], first.camera.matrix)
    assert len(pairs) == 4 and list(path.parent.iterdir()) == [path]


def test_an_interrupted_run_leaves_no_file_and_what_it_did(wall, tmp_path):
    def break_off(done, total, stage=""):
        if done == 3:
            raise KeyboardInterrupt

    path = tmp_path / "a.hdf5"
    with pytest.raises(KeyboardInterrupt):
        write_evaluation(path, [Walls(wall)], OPTIONS, break_off)
    assert not path.exists() and len(list(tmp_path.rglob("*.npz"))) == 3
    write_evaluation(path, [Walls(wall)], OPTIONS)
    assert list(tmp_path.iterdir()) == [path]


def test_no_pair_is_no_file(wall, tmp_path):
    with pytest.raises(DatasetError, match="no pair to write"):
        write_evaluation(tmp_path / "a.hdf5", [Walls(wall)], MatchingOptions(least_keypoints=10_000))
    assert not (tmp_path / "a.hdf5").exists()


@pytest.fixture
def yfcc(tmp_path, wall):
    root = tmp_path / "raw_data"
    folder = root / "yfcc100m" / "reichstag" / "test"
    (folder / "images").mkdir(parents=True)
    (folder / "calibration").mkdir()
    (root / "pairs").mkdir()
    images = wall(4)
    for k, image in enumerate(images):
        cv2.imwrite(str(folder / "images" / f"{k}.png"), image.load())
        pose = image.map_from_camera.inverse()
        K = image.camera.matrix
        K[:2, 2] += 9
        with h5py.File(folder / "calibration" / f"calibration_{k:06d}.h5", "w") as file:
            file["K"], file["R"], file["T"] = K, pose.rotation, pose.translation[None]
            file["imsize"] = [[200, 150]]
    (folder / "images.txt").write_text("\n".join(f"images/{k}.png" for k in range(4)) + "\n")
    (folder / "calibration.txt").write_text(
        "\n".join(f"calibration/calibration_{k:06d}.h5" for k in range(4)) + "\n"
    )
    write_pkl(root, [(0, 2), (3, 1)])
    return root


def write_pkl(root, value):
    (root / "pairs" / "reichstag-te-1000-pairs.pkl").write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("kind", [list, np.array])
def test_the_raw_layout_of_yfcc(yfcc, wall, tmp_path, kind):
    write_pkl(yfcc, kind([(0, 2), (3, 1)]))
    source = published_pairs(yfcc)
    assert source.pairs == [(0, 2), (3, 1)] and source.size is None
    assert write_evaluation(tmp_path / "yfcc.hdf5", source, OPTIONS) == 2
    images = wall(4)
    for pair, (i, j) in zip(read_pairs(tmp_path / "yfcc.hdf5"), source.pairs, strict=True):
        move = images[j].map_from_camera.inverse() @ images[i].map_from_camera
        np.testing.assert_allclose(pair.second_from_first.rotation, move.rotation, atol=1e-9)
        assert pair.matrices[0][:2, 2].tolist() == [99.5, 74.5]  # the middle, whatever K says
        assert pair.image_paths[0] == f"reichstag/test/images/{i}.png"


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pairs_are_never_unpickled(yfcc, tmp_path):
    write_pkl(yfcc, [Bomb(str(tmp_path / "ran"))])
    with pytest.raises(DatasetError, match="Nothing of it was executed"):
        published_pairs(yfcc)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [[(0, 4)], [(-1, 2)], ["ab"], {"a": 1}, [(0.5, 1.5)], [[0, 1], [2]]])
def test_pairs_that_are_none(yfcc, value):
    write_pkl(yfcc, value)
    with pytest.raises(DatasetError, match=r"te-1000-pairs\.pkl"):
        published_pairs(yfcc)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("images.txt", "images/0.png\n", "1 images and 4 calibrations"),
        ("images.txt", "../../x.png\n" * 4, "inside the dataset's folder"),
        ("calibration.txt", "calibration/none.h5\n" * 4, "expected K, R and T"),
    ],
)
def test_a_broken_yfcc(yfcc, file, text, message):
    (yfcc / "yfcc100m" / "reichstag" / "test" / file).write_text(text)
    with pytest.raises(DatasetError, match=message):
        published_pairs(yfcc).images()


@pytest.fixture
def scannet(tmp_path, wall):
    root = tmp_path / "scannet"
    for k, image in enumerate(wall(3)):
        scene = root / "scene0707_00"
        for kind in ("img", "extrinsic", "intrinsic"):
            (scene / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(scene / "img" / f"{k * 15}.jpg"), image.load())
        np.savetxt(scene / "extrinsic" / f"{k * 15}.txt", image.map_from_camera.matrix)
        K = np.eye(4)
        K[:3, :3] = image.camera.matrix
        np.savetxt(scene / "intrinsic" / f"{k * 15}.txt", K)
    return root


@pytest.mark.parametrize("line", ["scene0707_00/img/0.jpg scene0707_00/img/30.jpg", "scene0707_00 0 30"])
def test_the_raw_layout_of_scannet(scannet, wall, tmp_path, line):
    (tmp_path / "list.txt").write_text(f"# two images\n{line}\n")
    source = published_pairs(scannet, tmp_path / "list.txt")
    assert source.size == SCANNET_SIZE
    write_evaluation(tmp_path / "scannet.hdf5", source, OPTIONS)
    (pair,) = read_pairs(tmp_path / "scannet.hdf5")
    images = wall(3)
    move = images[2].map_from_camera.inverse() @ images[0].map_from_camera
    np.testing.assert_allclose(pair.second_from_first.rotation, move.rotation, atol=1e-9)
    pixels = pair.features[0].keypoints[:, :2]
    assert pixels.max() < 200 and pixels.min() > -0.5  # of the image as it is, not of 640x480


def test_scannet_needs_a_list_and_good_poses(scannet, tmp_path):
    with pytest.raises(DatasetError, match="--pair-list"):
        published_pairs(scannet)
    (tmp_path / "list.txt").write_text("scene0707_00 0 15\n")
    pose = scannet / "scene0707_00" / "extrinsic" / "15.txt"
    for text, message in (
        (("-inf " * 4 + "\n") * 4, "finite"),
        ("2 0 0 0\n0 2 0 0\n0 0 2 0\n0 0 0 1\n", "rotation"),
    ):
        pose.write_text(text)
        with pytest.raises(DatasetError, match=message):
            published_pairs(scannet, tmp_path / "list.txt").images()
    (tmp_path / "list.txt").write_text("scene0707_00\n")
    with pytest.raises(DatasetError, match=r"list\.txt:1: expected two images"):
        published_pairs(scannet, tmp_path / "list.txt")


def test_anything_else_is_no_raw_layout(tmp_path):
    assert published_pairs(tmp_path) is None


def test_features_of_another_size_are_where_they_are(wall):
    image = wall(1)[0].load()
    extractor = make_extractor("rootsift64", 100)
    same, twice = Resized(extractor, (200, 150)), Resized(extractor, (400, 300))
    plain = extractor.extract(image)
    assert np.allclose(same.extract(image).keypoints, plain.keypoints, atol=1e-3)
    found = twice.extract(image)
    near = np.linalg.norm(found.keypoints[:, None] - plain.keypoints, axis=2).min(axis=0)
    assert np.median(near) < 0.5 and twice.dimension == 64 and len(found.scores) == len(found)
