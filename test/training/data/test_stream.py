"""The order of samples follows from the seed alone."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from relpose_ros.errors import DatasetError
from relpose_training.data.shard_dataset import ShardDataset
from relpose_training.data.shard_writer import write_shards
from relpose_training.data.shards import ShardSet
from relpose_training.data.stream import Dataset, Order, batches


def tickets(sizes, batch_size, count, **options):
    return list(islice(Order(tuple(sizes), batch_size, **options), count))


def test_every_epoch_has_every_sample_once():
    flat = [t for batch in tickets([7, 0, 5, 1], 4, 13 * 4 // 4, seed=3) for t in batch]
    for epoch in range(4):
        seen = sorted((t.group, t.item) for t in flat if t.epoch == epoch)
        assert seen == [(g, i) for g, size in enumerate([7, 0, 5, 1]) for i in range(size)]


def test_epochs_differ_and_groups_stay_together():
    flat = [t for batch in tickets([50, 50, 50], 10, 30, seed=1) for t in batch]
    first, second = ([(t.group, t.item) for t in flat if t.epoch == e] for e in (0, 1))
    assert first != second
    assert sum(a != b for a, b in zip([g for g, _ in first], [g for g, _ in first[1:]], strict=False)) == 2
    assert [i for g, i in first if g == 0] != sorted(i for g, i in first if g == 0)


@pytest.mark.parametrize("start", [1, 2, 3, 4, 17, 40])
def test_a_resumed_order_is_the_rest_of_the_whole_one(start):
    sizes, size = [7, 5, 1], 4
    assert (
        tickets(sizes, size, 10, seed=5, start=start) == tickets(sizes, size, 60, seed=5)[start : start + 10]
    )


def test_seeds_give_other_orders():
    assert tickets([9], 3, 3, seed=0) == tickets([9], 3, 3, seed=0)
    assert tickets([9], 3, 3, seed=0) != tickets([9], 3, 3, seed=1)


def test_without_shuffling_there_is_one_epoch_in_order():
    found = tickets([3, 2], 2, 99, shuffle=False)
    assert [[(t.group, t.item) for t in b] for b in found] == [[(0, 0), (0, 1)], [(0, 2), (1, 0)], [(1, 1)]]


def test_a_resume_far_on_costs_nothing():
    """Ten million samples in: a loop over them would take minutes."""
    assert len(tickets([1000] * 1000, 10, 1, start=10**7)[0]) == 10


def shards(folder, samples=23, count=3):
    rows = [{"x": np.full(2, n, np.float32), "n": np.array(n, np.int64)} for n in range(samples)]
    write_shards(rows, folder, "train", count)
    return ShardDataset(ShardSet(folder, "train"), range(count))


def test_workers_change_nothing(tmp_path):
    data = shards(tmp_path)
    streams = [islice(batches(data, 4, seed=1, workers=w, start=5), 9) for w in (0, 1, 2)]
    alone, one, two = ([batch["n"] for batch in stream] for stream in streams)
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(alone, one, two, strict=True))


class Noisy(Dataset):
    def group_sizes(self):
        return [4, 4]

    def sample(self, group, item, generator):
        return {"x": generator.normal(size=2)}


def test_what_is_random_about_a_sample_follows_from_seed_epoch_and_sample():
    a, b, other = (torch.cat([x["x"] for x in islice(batches(Noisy(), 4, seed=s), 4)]) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert len({tuple(row) for row in a.tolist()}) == 16  # another epoch draws anew
    assert not torch.equal(a, other)


def test_nothing_to_train_on_is_an_error(tmp_path):
    data = shards(tmp_path)
    data.numbers = []
    with pytest.raises(DatasetError, match="expected samples to train on"):
        batches(data, 4, seed=0)


def test_the_order_draws_from_no_global_generator(tmp_path):
    data = shards(tmp_path)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    next(iter(batches(data, 4, seed=0)))
    assert torch.equal(before, torch.get_rng_state())
