"""Batches of matching pairs: the same for any number of loading processes, and only of the right shards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.errors import DatasetError
from relpose_training.data.correspondence_set import Target, prepare_correspondences
from relpose_training.data.image_folders import ImageFolder
from relpose_training.data.matching_options import MatchingOptions
from relpose_training.data.matching_sample import SampleOptions
from relpose_training.data.shard_writer import write_shards
from relpose_training.data.shards import ShardSet
from relpose_training.data.stream import batches
from relpose_training.data.warped_pairs import WarpOptions
from relpose_training.recipes.matcher.dataset import MatchingPairs
from relpose_training.recipes.matcher.warped import WarpedPairs

SETTINGS = SampleOptions(100, min_inliers=10, max_inliers=30)


@dataclass(frozen=True)
class Walls:
    wall: object
    name: str = "wall"

    def images(self):
        return self.wall(7)


@pytest.fixture(scope="module")
def shards(wall, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    options = MatchingOptions(max_keypoints=200, pairs=8, least_keypoints=40, most_overlap=1.0)
    prepare_correspondences([Walls(wall)], {"train": 1.0}, Target(folder, 2), options)
    return ShardSet(folder, "train")


def some(dataset, workers, count=5):
    loader = batches(dataset, 3, seed=7, workers=workers)
    return [batch for batch, _ in zip(loader, range(count), strict=False)]


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(shards, workers):
    dataset = MatchingPairs(shards, SETTINGS)
    for ours, theirs in zip(some(dataset, 0), some(dataset, workers), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_pair_comes_with_other_keypoints_in_another_epoch(shards):
    dataset = MatchingPairs(shards, SETTINGS, [0])
    first, again, later = (
        dataset.sample(0, 1, np.random.default_rng([7, epoch, 0, 1])) for epoch in (0, 0, 1)
    )
    assert np.array_equal(first["keypoints0"], again["keypoints0"])
    assert not np.array_equal(first["keypoints0"], later["keypoints0"])


def test_each_rank_has_its_shards(shards):
    parts = [MatchingPairs(shards, SETTINGS, shards.of_rank(rank, 2)) for rank in (0, 1)]
    assert [part.group_sizes() for part in parts] == [[shards.sizes[0]], [shards.sizes[1]]]
    assert parts[0].descriptor_size == 64


def test_difficulties_are_by_overlap(shards):
    dataset = MatchingPairs(shards, SETTINGS)
    kinds = dataset.kinds()
    assert len(kinds) == sum(shards.sizes) and set(kinds.tolist()) <= set(range(5))
    overlap = float(shards.shard(0).sample(0)["overlap"])
    assert kinds[0] == int(overlap * 5)


def test_more_keypoints_than_there_are_is_fine(shards):
    item = MatchingPairs(shards, replace(SETTINGS, keypoints=500)).sample(0, 0, np.random.default_rng(0))
    assert item["keypoints0"].shape == (500, 2) and (item["scores0"] == 0).sum() >= 300


def test_shards_of_something_else_are_refused(tmp_path):
    write_shards([{"xs": np.zeros((3, 4), np.float32)}], tmp_path, "train", 1, ["xs"])
    with pytest.raises(DatasetError, match=r"found xs; make them with `relpose prepare matches`"):
        MatchingPairs(ShardSet(tmp_path, "train"), SETTINGS)


def test_damaged_shards_are_named(shards, tmp_path):
    for name in ("train.json", "train_0000.h5", "train_0001.h5"):
        data = bytearray((Path(shards.url) / name).read_bytes())
        if name == "train_0001.h5":
            data[len(data) // 2] ^= 1
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError, match=r"train_0001\.h5 is corrupted"):
        MatchingPairs(ShardSet(tmp_path, "train"), SETTINGS)


@pytest.fixture(scope="module")
def warped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k in range(4):
        blocks = np.random.default_rng(k).integers(0, 255, (20, 26)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{k}.png"), blocks.repeat(8, 0).repeat(8, 1))
    images = ImageFolder(folder).images()
    return WarpedPairs([images[:3], images[3:]], SETTINGS, WarpOptions(max_keypoints=150))


def test_pairs_made_while_training_are_the_same_for_any_number_of_workers(warped):
    assert warped.group_sizes() == [3, 1]
    for ours, theirs in zip(some(warped, 0, 3), some(warped, 2, 3), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_pairs_made_while_training_have_the_batch_of_stored_ones(warped, shards):
    made = warped.sample(0, 0, np.random.default_rng(0))
    stored = MatchingPairs(shards, SETTINGS).sample(0, 0, np.random.default_rng(0))
    assert {n: (v.shape, v.dtype) for n, v in made.items()} == {
        n: (v.shape, v.dtype) for n, v in stored.items()
    }
    assert (made["partner0"] >= 0).sum() > 5


def test_no_image_no_pairs():
    with pytest.raises(DatasetError, match="got none"):
        WarpedPairs([[], []], SETTINGS, WarpOptions())
