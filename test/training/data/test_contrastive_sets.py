"""Partners for contrastive learning."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_training.data.contrastive_sets import SetOptions, contrastive_sets
from relpose_training.data.overlap_classes import OverlapClass, overlap_class

OPTIONS = SetOptions(0.1, 0.2, 150.0, 0.2, 0.4)


def views_on_a_line():
    """Twenty simulated and ten real views along the same line: (distance, metres, simulated)."""
    position = np.concatenate([np.arange(20.0), np.arange(0.25, 20, 2)])
    metres = np.abs(position[:, None] - position)
    return metres, metres, np.arange(30) < 20


@pytest.mark.parametrize("compat", [False, True])
def test_partners_are_near_or_far_and_of_the_right_domain(compat) -> None:
    distance, metres, simulated = views_on_a_line()
    sets = contrastive_sets(distance, metres, simulated, OPTIONS, compat)
    same = simulated[:, None] == simulated
    for near, far, domain in (
        (sets.positive_same, sets.negative_same, same),
        (sets.positive_other, sets.negative_other, ~same),
    ):
        assert not (near & ~domain).any() and not (far & ~domain).any()
        assert near.any() and distance[near].max() < distance[far].min()
    assert not np.diag(sets.positive_same).any()
    assert len(sets.feasible)


def test_metres_bound_the_positives() -> None:
    distance, metres, simulated = views_on_a_line()
    sets = contrastive_sets(distance, 1000 * metres + 200, simulated, OPTIONS)
    assert not sets.positive_same.any() and sets.negative_same.any() and not len(sets.feasible)


def test_the_way_back_does_not_depend_on_how_many_views_the_other_domain_has() -> None:
    distance, metres, simulated = views_on_a_line()
    twice = np.concatenate([np.arange(30), np.arange(20, 30)])
    more = distance[np.ix_(twice, twice)]
    for compat, equal in ((False, True), (True, False)):
        before = contrastive_sets(distance, metres, simulated, OPTIONS, compat).positive_same[:20, :20]
        after = contrastive_sets(more, more, np.arange(40) < 20, OPTIONS, compat).positive_same[:20, :20]
        assert np.array_equal(before, after) == equal


@pytest.mark.parametrize(
    ("there", "back", "degrees", "expected"),
    [
        (0.5, 0.6, 10, OverlapClass.FINE),
        (0.5, 0.6, 45, OverlapClass.NONE),
        (0.35, 0.6, 90, OverlapClass.MEDIUM),
        (0.1, 0.2, 90, OverlapClass.NEGATIVE),
        (0.01, 0.2, 5, OverlapClass.NONE),
        (0.1, 0.5, 5, OverlapClass.NONE),
    ],
)
def test_classes_of_pairs(there, back, degrees, expected) -> None:
    assert overlap_class(there, back, np.radians(degrees)) is expected
