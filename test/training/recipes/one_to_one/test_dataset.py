"""Pairs as the one-to-one networks take them: static shapes, reproducible orders, the truth kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.errors import DatasetError
from relpose_training.data.correspondence_set import stored_sample
from relpose_training.data.correspondences import VARYING
from relpose_training.data.pair_correspondences import PairCorrespondences
from relpose_training.data.shard_writer import write_shards
from relpose_training.data.shards import ShardSet
from relpose_training.data.stream import batches
from relpose_training.recipes.one_to_one.dataset import CorrespondencePairs, stored_pair

COUNTS = (10, 40, 16, 7, 33, 16)


def pair(seed, count):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3)
    arrays = (
        rng.uniform(-1, 1, (count, 4)), rng.uniform(0, 1e-3, count), rng.random(count),
        (rng.random(count) < 0.5), np.linalg.qr(rng.normal(size=(3, 3)))[0],
        direction / np.linalg.norm(direction),
    )  # fmt: skip
    return PairCorrespondences(*(np.asarray(a, np.float32) for a in arrays))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Six pairs in two shards: pair k is sample k // 2 of shard k % 2."""
    folder = tmp_path_factory.mktemp("pairs")
    samples = [
        {**stored_sample(pair(k, n)), "sequence": np.array([k % 3], np.int32)} for k, n in enumerate(COUNTS)
    ]
    write_shards(samples, folder, "train", 2, VARYING, {"sequences": ["a", "b", "c"]})
    return ShardSet(folder, "train")


def draw(dataset, k, seed=0):
    return dataset.sample(k % 2, k // 2, np.random.default_rng(seed))


def rows(sample):
    """Correspondences with their labels, in a canonical order."""
    table = np.column_stack([sample["correspondences"], sample["labels_distance"]])
    return table[np.lexsort(table.T)]


@pytest.mark.parametrize("layout", ["n_to_n", "one_to_one"])
@pytest.mark.parametrize("order", [None, "shuffled", "disparity"])
@pytest.mark.parametrize("width", [4, 6])
def test_shapes_do_not_depend_on_the_pair(shards, layout, order, width):
    dataset = CorrespondencePairs(shards, 16, layout, order=order, width=width)
    assert dataset.group_sizes() == [3, 3]
    for k in range(6):
        sample = draw(dataset, k)
        assert {name: value.shape for name, value in sample.items()} == {
            "correspondences": (16, width), "labels_distance": (16,), "R": (3, 3), "t": (3,),
            "virtual_points": (400, 4), "sequence": (),
        }  # fmt: skip
        assert {v.dtype for name, v in sample.items() if name != "sequence"} == {np.dtype(np.float32)}
        assert sample["sequence"] == k % 3
    assert dataset.names == ["a", "b", "c"]


@pytest.mark.parametrize("order", ["given", "permuted", "shuffled", "disparity"])
def test_a_correspondence_keeps_its_label(shards, order):
    dataset = CorrespondencePairs(shards, 16, order=order)
    for k, count in enumerate(COUNTS):
        made, source = draw(dataset, k), pair(k, count)
        labels = {tuple(row): label for row, label in zip(source.features(6), source.distances, strict=True)}
        chosen = [tuple(row) for row in made["correspondences"]]
        assert [labels[row] for row in chosen] == made["labels_distance"].tolist()
        assert len(set(chosen)) == min(count, 16)
        assert np.array_equal(made["R"], source.rotation) and np.array_equal(made["t"], source.direction)


def test_layouts_differ_in_the_order_alone(shards):
    n_to_n, one_to_one = (CorrespondencePairs(shards, 16, layout) for layout in ("n_to_n", "one_to_one"))
    a, b = draw(n_to_n, 2), draw(one_to_one, 2)
    assert not np.array_equal(a["correspondences"], b["correspondences"])
    assert np.array_equal(rows(a), rows(b))
    assert np.array_equal(b["correspondences"], pair(2, 16).features(6))


def test_the_generator_decides(shards):
    dataset = CorrespondencePairs(shards, 16)
    first, second, other = (draw(dataset, 1, seed)["correspondences"] for seed in (1, 1, 2))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_a_stored_ideal_point_is_the_computed_one(shards):
    stored = shards.shard(0).sample(0)
    dataset = CorrespondencePairs(shards, 16)
    assert np.array_equal(draw(dataset, 0)["virtual_points"], stored["virtual"])
    computed = stored_sample(stored_pair(stored))["virtual"]
    assert np.array_equal(computed, stored["virtual"])


def test_a_device_reads_its_own_shards(shards):
    dataset = CorrespondencePairs(shards, 16, "one_to_one", numbers=shards.of_rank(1, 2))
    assert dataset.group_sizes() == [3]
    sample = dataset.sample(0, 0, np.random.default_rng(0))
    assert np.array_equal(sample["R"], pair(1, 40).rotation)


def test_batches_are_the_same_with_loading_processes(shards):
    dataset = CorrespondencePairs(shards, 16)
    streams = [iter(batches(dataset, 4, seed=3, workers=workers)) for workers in (0, 1)]
    for _ in range(3):
        here, there = (next(stream) for stream in streams)
        assert here["correspondences"].shape == (4, 16, 6) and here["sequence"].dtype == torch.int64
        assert all(torch.equal(here[name], there[name]) for name in here)


def test_shards_of_something_else_are_refused(tmp_path):
    write_shards([{"image": np.zeros((4, 4), np.uint8)}], tmp_path, "train", 1)
    with pytest.raises(DatasetError, match=r"expected correspondences \(xs.*found image"):
        CorrespondencePairs(ShardSet(tmp_path, "train"), 16)


def test_a_pair_of_nothing_is_named(tmp_path):
    samples = [stored_sample(pair(0, n)) for n in (5, 0)]
    write_shards(samples, tmp_path, "train", 1, VARYING)
    dataset = CorrespondencePairs(ShardSet(tmp_path, "train"), 16)
    assert draw(dataset, 0)["sequence"] == 0
    with pytest.raises(DatasetError, match=r"train_0000.h5: pair 1 has no correspondences"):
        dataset.sample(0, 1, np.random.default_rng(0))
