"""Plans of queries, tuples of a chunk, and re-ranked pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import PlaceSplit
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.evaluation.retrieval_recall import recalls, squared_distances
from relpose_ros.retrieval.rerank import RerankOptions
from relpose_training.data.hard_negatives import HardNegatives, MiningOptions
from relpose_training.data.reciprocal_pairs import ReciprocalPairs
from relpose_training.data.reranked_distances import SFRS, reranked_distances
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.rounds import Run
from relpose_training.recipes.retrieval.mined_rounds import MinedRounds
from relpose_training.recipes.retrieval.mining import ChunkMiner, ChunkMining
from relpose_training.recipes.retrieval.plan import Chunk, QueryPlan
from relpose_training.recipes.retrieval.shared_descriptors import SharedDescriptors
from relpose_training.recipes.retrieval.validation import recall_of

QUERIES, GALLERY = 14, 60


def unit(count, seed, size=6):
    found = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


ALL = unit(QUERIES + GALLERY, 0)


def described(numbers):
    return SharedDescriptors(ALL[np.asarray(numbers)], len(numbers), TorchDevice("cpu", Place()))


def split():
    """Gallery images 4 q to 4 q + 3 are of query q's place."""
    images = [PlaceImage(f"{k}.png", k, 0.0, 0.0) for k in range(GALLERY)]
    own = tuple(np.arange(4 * q, 4 * q + 4) for q in range(QUERIES))
    return PlaceSplit(tuple(images[:QUERIES]), tuple(images), own, own)


def miner(difficult=0, gallery=0, compat=False):
    options = MiningOptions(5, 20, difficult, 3, seed=1)
    return ChunkMiner(split(), ChunkMining(options, gallery, compat))


@pytest.mark.parametrize(("queries", "chunk", "step"), [(20, 6, 2), (20, 6, 4), (7, 10, 3), (12, 4, 4)])
def test_an_epoch_has_every_query_once(queries, chunk, step):
    plan = QueryPlan(queries, chunk, step, seed=3)
    for epoch in range(2):
        at, seen = epoch * plan.epoch_steps, []
        while at < (epoch + 1) * plan.epoch_steps:
            found = plan.chunk_at(at)
            assert found.steps.start == at
            assert all(plan.chunk_at(s) == found for s in found.steps)
            assert (len(found.steps) - 1) * step < len(found.queries) <= chunk
            seen += found.queries
            at = found.steps.stop
        assert Counter(seen) == Counter(range(queries))
    assert plan.chunk_at(0).queries != plan.chunk_at(plan.epoch_steps).queries


def test_a_stage_cuts_the_chunk_before_it_and_begins_an_epoch():
    plan = QueryPlan(20, 6, 2, starts=(0, 5, 17))
    last = plan.chunk_at(4)
    assert (last.steps, len(last.queries), last.stage) == (range(3, 5), 4, 0)
    assert plan.chunk_at(5).steps == range(5, 8) and plan.chunk_at(5).stage == 1
    assert plan._first_epoch(2) == 1 + 2, "each stage has orders of its own"
    assert QueryPlan(20, 6, 2, (0, 5, 17), first_epochs=(1, 0, 0))._first_epoch(2) == 0


def test_pairs_are_reranked_as_the_whole_matrix_is():
    queries, gallery = ALL[:QUERIES], ALL[QUERIES:]
    for compat in (False, True):
        dense = reranked_distances(queries, gallery, SFRS, compat=compat)
        shared = described(range(len(ALL)))
        nearest = shared.neighbours(SFRS.k1 + 1)
        power = 2 if compat else 1
        pairs = ReciprocalPairs(nearest.ranking, nearest.largest, shared.distances, SFRS, power)
        wanted = [(q, QUERIES + np.arange(q, q + 9)) for q in range(QUERIES)]
        for (query, others), found in zip(wanted, pairs.rerank(wanted), strict=True):
            np.testing.assert_allclose(found, dense[query, others - QUERIES], atol=2e-6)
    with pytest.raises(ConfigurationError, match="k2=1"):
        ReciprocalPairs(nearest.ranking, nearest.largest, shared.distances, RerankOptions())


def test_a_chunk_is_mined_as_from_whole_matrices():
    chunk, distances = Chunk((3, 0, 11), range(3), 1), squared_distances(ALL[:QUERIES], ALL[QUERIES:])
    reranked = reranked_distances(ALL[:QUERIES], ALL[QUERIES:], SFRS)
    plain = HardNegatives(split().positives, split().near, MiningOptions(5, 20, 2, 3, seed=1))
    expected = plain.mine(chunk.queries, distances[[3, 0, 11]], reranked[[3, 0, 11]])
    assert miner(difficult=2).mine(chunk, described) == expected
    first = Chunk(chunk.queries, chunk.steps, 0)
    assert all(len(found.difficult) == 2 for found in miner(difficult=2).mine(first, described))


def test_of_a_large_gallery_a_part_is_looked_at():
    looked = []

    def describe(numbers):
        looked.append(set(numbers))
        return described(numbers)

    made, chunk = miner(gallery=20), Chunk((3, 0), range(2), 0)
    first = made.mine(chunk, describe)
    assert looked[0] >= {3, 0} | {QUERIES + g for g in (0, 1, 2, 3, 12, 13, 14, 15)}
    assert len(looked[0]) <= 2 + 8 + 20 and not looked[0] & set(range(QUERIES)) - {0, 3}
    second = made.mine(Chunk((3, 0), range(2, 4), 0), describe)
    assert looked[1] >= {QUERIES + g for found in first for g in found.negatives}
    for found, seen in zip([*first, *second], np.repeat(looked, 2), strict=True):
        assert {QUERIES + g for g in found.negatives} <= seen
        assert not set(found.negatives) & set(range(4 * found.query, 4 * found.query + 4))


def test_a_miner_goes_on_from_its_state():
    one, two = miner(), miner()
    chunk, later = Chunk((3, 0, 5), range(3), 0), Chunk((5, 3, 2), range(3, 6), 0)
    one.mine(chunk, described)
    two.load_state_dict(one.state_dict())
    assert one.mine(later, described) == two.mine(later, described)


class Nothing(Dataset):
    def group_sizes(self):
        return [QUERIES, GALLERY]

    def sample(self, group, item, generator):
        return {}


def rounds(batch_size=2, rank=0, world=1, difficult=2, share=False):
    device = TorchDevice("cpu", Place())
    device.place = Place(rank, world)
    plan = QueryPlan(QUERIES, 6, batch_size * world, seed=1)
    run = Run(None, device, Nothing(), batch_size, 1, 0)  # type: ignore[arg-type]
    return MinedRounds(run, plan, miner(difficult), described, share=share)


def test_batches_have_one_shape_and_name_their_images():
    made, seen = rounds(), []
    batch = 0
    while batch < 7:
        for number in made.begin(batch):
            tickets, extras = made.tickets(number), made.extras(number)
            assert len(tickets) == 2 * 9 and extras["valid"].shape == (2, 2)
            assert [t.group for t in tickets[:9]] == [0] + 8 * [1]
            for k in range(2):
                images = [t.item for t in tickets[9 * k : 9 * k + 9]]
                assert images[1] in range(4 * images[0], 4 * images[0] + 4)
                for item, valid in zip(images[7:], extras["valid"][k].tolist(), strict=True):
                    assert valid or item == images[1], "padding is the positive once more"
            seen += tickets
            batch = number + 1
    assert len(set(seen)) == len(seen)
    assert {t.item for t in seen if t.group == 0} == set(range(QUERIES))


def test_shared_negatives_never_show_the_place_of_the_query():
    made = rounds(batch_size=3, difficult=0, share=True)
    for number in made.begin(0):
        tickets, usable = made.tickets(number), made.extras(number)["usable"]
        tuples = np.reshape([t.item for t in tickets], (3, -1))
        assert usable.shape == (3, tuples[:, 1:].size)
        for query, row in zip(tuples[:, 0], usable.tolist(), strict=True):
            own = [item in range(4 * query, 4 * query + 4) for item in tuples[:, 1:].ravel()]
            assert row == [not here for here in own] and any(own)


def test_processes_share_the_tuples_of_a_chunk():
    alone, shares = rounds(batch_size=2), [rounds(batch_size=1, rank=r, world=2) for r in range(2)]
    for number in alone.begin(0):
        found = []
        for share in shares:
            share.miner.negatives = alone.miner.negatives
            share.tuples, share.start = alone.tuples, alone.start
            share.begin(number)
            found += share.tickets(number)
        key = [(t.group, t.item) for t in found]
        assert key == [(t.group, t.item) for t in alone.tickets(number)]


def test_recall_is_that_of_the_whole_matrix():
    expected = recalls(squared_distances(ALL[:QUERIES], ALL[QUERIES:]), split().positives)
    found = recall_of(split(), described)
    assert list(found) == ["recall@1", "recall@5", "recall@10"]
    assert list(found.values()) == pytest.approx(expected.tolist())


def test_too_few_negatives_are_said():
    options = ChunkMining(MiningOptions(57, 100))
    with pytest.raises(DatasetError, match="expected 57 negatives"):
        ChunkMiner(split(), options).mine(Chunk((0,), range(1), 0), described)
    assert torch.is_tensor(miner().state_dict()["negatives"])
