"""Partners for contrastive learning."""

from __future__ import annotations

import dataclasses

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


def test_views_without_any_overlap_are_all_negatives_and_never_positives() -> None:
    """Two groups of views: inside a group distances differ, across it all are 100."""
    place = np.repeat([0.0, 1000.0], 6) + np.tile(np.arange(6.0), 2)
    distance = np.minimum(10 * np.abs(place[:, None] - place), 100)
    simulated = np.tile([False, True], 6)
    sets = contrastive_sets(
        distance, np.zeros_like(distance), simulated, SetOptions(0.3, 0.6, 150.0, 0.05, 0.3)
    )
    across = place[:, None] // 500 != place // 500
    same = simulated[:, None] == simulated
    assert np.array_equal(sets.negative_same, across & same)
    assert np.array_equal(sets.negative_other, across & ~same)
    assert sets.positive_same.any() and not (sets.positive_same & across).any()
    lonely = distance.copy()
    lonely[0], lonely[:, 0], lonely[0, 0] = 100, 100, 0
    alone = contrastive_sets(lonely, np.zeros_like(distance), simulated, SetOptions(0.3, 0.6))
    assert not alone.positive_same[0].any() and not alone.positive_other[0].any()


def test_positives_are_nearer_than_they_must() -> None:
    distance, metres, simulated = views_on_a_line()
    near = dataclasses.replace(OPTIONS, positive_distance=0.8)
    sets = contrastive_sets(distance, metres, simulated, near)
    assert not sets.positive_same.any() and distance[sets.positive_other].max() < 0.8
