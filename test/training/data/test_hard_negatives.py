"""Chunks and shares of queries, hard negatives, difficult positives, re-ranked distances."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.retrieval.rerank import RerankOptions
from relpose_training.data.difficult_positives import difficult_positives
from relpose_training.data.hard_negatives import HardNegatives, MiningOptions
from relpose_training.data.query_chunks import contiguous_share, interleaved_share, query_chunks
from relpose_training.data.reranked_distances import reranked_distances

GALLERY, QUERIES = 60, 6
GENERATOR = np.random.default_rng(3)
DISTANCES = GENERATOR.random((QUERIES, GALLERY)).astype(np.float32)
POSITIVES = [[2 * q, 2 * q + 1, 20 + q] for q in range(QUERIES)]
NEAR = [[*p, 40 + q] for q, p in enumerate(POSITIVES)]


def miner(**options):
    return HardNegatives(POSITIVES, NEAR, MiningOptions(negatives=4, **{"pool": 12, **options}))


def test_a_whole_pool_gives_the_nearest_that_are_far_away():
    for found in miner(pool=1000).mine(range(QUERIES), DISTANCES):
        row, near = DISTANCES[found.query], NEAR[found.query]
        far = [i for i in np.argsort(row) if i not in near]
        assert list(found.negatives) == far[:4]
        assert found.positive == min(POSITIVES[found.query], key=lambda i: row[i])


def test_a_small_pool_is_random_and_remembers():
    first = miner()
    before = first.mine([0], DISTANCES[:1])[0]
    assert list(before.negatives) == sorted(before.negatives, key=lambda i: DISTANCES[0, i])
    best = [before]
    best.extend(first.mine([0], DISTANCES[:1])[0] for _ in range(30))
    worst = [max(DISTANCES[0, list(found.negatives)]) for found in best]
    assert worst == sorted(worst, reverse=True) and worst[-1] < worst[0]  # never easier, harder in the end
    assert not set(best[-1].negatives) & set(NEAR[0])


def test_what_was_near_and_is_remembered_is_looked_at_again():
    """Memory is of images, not of ranks: with other distances they are ranked anew."""
    memory = miner(pool=4)
    kept = memory.mine([0], DISTANCES[:1])[0].negatives
    reversed_row = -DISTANCES[:1]
    found = memory.mine([0], reversed_row)[0].negatives
    assert list(found) == sorted(found, key=lambda i: reversed_row[0, i])
    assert max(reversed_row[0, list(found)]) <= max(reversed_row[0, list(kept)])


def test_the_seed_decides():
    runs = [miner(seed=seed).mine(range(QUERIES), DISTANCES) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_tuples_do_not_depend_on_the_number_of_processes():
    chunks = query_chunks(QUERIES, 3, 0)

    def mined():
        one = miner()
        return [one.mine(chunk, DISTANCES[chunk]) for chunk in chunks]

    alone = mined()
    shares = [[interleaved_share(tuples, rank, 2) for tuples in mined()] for rank in range(2)]
    for chunk, first, second in zip(alone, *shares, strict=True):
        assert set(first) | set(second) == set(chunk)


def test_numbers_of_one_list():
    found = miner(difficult=2).mine([1], DISTANCES[1:2])[0]
    numbers = found.items(QUERIES)
    assert numbers[0] == 1 and len(numbers) == 2 + 4 + 2
    assert [n - QUERIES for n in numbers[1:]] == [found.positive, *found.negatives, *found.difficult]


def test_what_cannot_be_mined_is_refused():
    with pytest.raises(DatasetError, match="2 queries, 1 of them without"):
        HardNegatives([[1], []], [[1], []])
    with pytest.raises(DatasetError, match="query 0: expected 4 negatives, 3"):
        HardNegatives([[0]], [[0]], MiningOptions(4)).mine([0], np.arange(4.0)[None])
    with pytest.raises(ConfigurationError, match="1 queries"):
        miner().mine([0], DISTANCES)
    with pytest.raises(ConfigurationError, match="NaN"):
        miner().mine([0], np.full((1, GALLERY), np.nan))


def test_positives_that_reranking_promotes_come_first():
    ranked = [5, 6, 7, 8]
    reranked = np.full(10, 9.0)
    reranked[[8, 5, 7, 6]] = [0.1, 0.2, 0.3, 0.4]  # 8 rises by 3, 7 stays, 5 and 6 fall
    assert difficult_positives(ranked, reranked, 4).tolist() == [8, 7]
    assert difficult_positives(ranked, reranked, 1).tolist() == [8]
    assert difficult_positives(ranked, np.arange(10.0), 3).tolist() == [5, 6, 7]  # nothing moves: the nearest
    assert difficult_positives(ranked, reranked, 0).tolist() == []


def test_every_query_is_in_one_chunk_of_an_epoch():
    chunks = query_chunks(23, 5, epoch=2)
    assert [len(chunk) for chunk in chunks] == [5, 5, 5, 5, 3]
    assert sorted(chain(*chunks)) == list(range(23))
    assert query_chunks(23, 5, 2) == chunks != query_chunks(23, 5, 3)
    assert query_chunks(0, 5, 0) == []
    with pytest.raises(ConfigurationError):
        query_chunks(5, 0, 0)


@pytest.mark.parametrize("share", [interleaved_share, contiguous_share])
@pytest.mark.parametrize(("count", "world"), [(7, 3), (6, 3), (1, 4), (0, 2)])
def test_all_processes_have_as_many(share, count, world):
    items = list(range(count))
    shares = [share(items, rank, world) for rank in range(world)]
    assert len({len(s) for s in shares}) == 1
    assert set(chain(*shares)) == set(items)
    with pytest.raises(ConfigurationError):
        share(items, world, world)


def test_reranking_squares_once():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(20, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    options = RerankOptions(4, 1, 1.0)  # nothing but the distance, each row divided by its largest
    right, twice = (reranked_distances(vectors[:5], vectors[5:], options, compat) for compat in (False, True))
    squared = np.square(vectors[:5, None] - vectors[None]).sum(axis=2)
    rows = squared / squared.max(axis=1, keepdims=True)
    np.testing.assert_allclose(right, rows[:, 5:], atol=1e-5)
    np.testing.assert_allclose(twice, np.square(rows)[:, 5:], atol=1e-5)
