"""Orders of correspondences, batches of pairs and candidates, virtual points."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.epipolar import sampson_distance
from relpose_training.data.context_order import context_indices
from relpose_training.data.pair_batches import candidate_batches, pair_batches
from relpose_training.data.pair_correspondences import PairCorrespondences
from relpose_training.data.pair_items import make_item
from relpose_training.data.virtual_points import virtual_correspondences

POINTS = np.random.default_rng(0).normal(size=(10, 4))
ORDERS = ("given", "permuted", "shuffled", "disparity")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 7, 10, 14, 35])
def test_there_are_as_many_as_asked_for_and_all_are_used(order, size):
    indices = context_indices(POINTS, size, order, rng())
    assert indices.shape == (size,)
    counts = np.bincount(indices, minlength=10)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_seed_gives_the_same_order(order):
    first, second, third = (context_indices(POINTS, 14, order, rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, second)
    assert order == "given" or not np.array_equal(first, third)


@pytest.mark.parametrize("size", [7, 14])
def test_disparity_ascends(size):
    def disparity(**arguments):
        chosen = POINTS[context_indices(POINTS, size, "disparity", rng(), **arguments)]
        return np.linalg.norm(chosen[:, :2] - chosen[:, 2:], axis=1)

    assert (np.diff(disparity()) >= 0).all()
    # The original forgets to sort when it has to leave some out.
    assert (np.diff(disparity(compat=True)) >= 0).all() == (size == 14)


def test_given_without_rng_takes_the_first():
    assert context_indices(POINTS, 3, "given").tolist() == [0, 1, 2]
    assert context_indices(POINTS, 12, "given").tolist() == [*range(10), 0, 1]


def test_what_needs_an_rng_says_so():
    with pytest.raises(ConfigurationError, match="rng"):
        context_indices(POINTS, 12, "shuffled")
    with pytest.raises(ConfigurationError, match="at least one"):
        context_indices(POINTS[:0], 12, "given", rng())


def test_pair_batches_are_a_permutation_without_the_rest():
    batches = list(pair_batches(10, 3, rng()))
    assert [len(b) for b in batches] == [3, 3, 3]
    assert len({pair for batch in batches for pair in batch}) == 9
    with pytest.raises(ConfigurationError, match="batches of 11"):
        list(pair_batches(10, 11, rng()))


def test_candidate_batches_pass_a_pair_before_the_next():
    passes = list(candidate_batches(2, 8, 4, rng(), learn=True))
    assert [p.phase for p in passes] == ["score", "score", "pose", "learn", "learn"] * 2
    assert len({p.pair for p in passes[:5]}) == 1 and len({p.pair for p in passes}) == 2
    assert [(p.first, p.last) for p in passes[:3]] == [(0, 4), (4, 8), (0, 8)]
    with pytest.raises(ConfigurationError, match="do not divide"):
        list(candidate_batches(2, 8, 3, rng(), learn=True))


def pair():
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    column = np.arange(10, dtype=np.float32)
    direction = np.array([0.6, 0.0, 0.8])
    return PairCorrespondences(
        *(a.astype(np.float32) for a in (POINTS, column, column / 10, column % 2, rotation, direction))
    )


def test_an_item_keeps_rows_together():
    item = make_item(pair(), 14, "shuffled", rng())
    found = item.distances.astype(int)
    assert np.array_equal(item.correspondences, pair().features(6)[found])
    assert make_item(pair(), 14, "shuffled", rng(), width=4).correspondences.shape == (14, 4)


def test_virtual_points_fulfil_the_constraint_and_cover_the_image():
    points = virtual_correspondences(pair().essential()).astype(float)
    assert points.shape == (400, 4)
    assert sampson_distance(pair().essential(), points[:, :2], points[:, 2:]).max() < 1e-6
    assert np.ptp(points, axis=0).min() > 1.5
