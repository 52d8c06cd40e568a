"""What may go from a map: copies and blind references go, and no view loses more than was allowed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.bundle import Landmarks, Map, ReferenceFeatures
from relpose_ros.maps.covisibility import Covisibility
from relpose_ros.maps.redundancy import PruneOptions, near_views, spare_references


def made_map(seen: list[list[int]], poses: list[Rigid], conditions: list[str] | None = None) -> Map:
    """References that see these landmarks, 4 units ahead of them; nothing else in it means anything."""
    count = 1 + max((max(s) for s in seen if s), default=0)
    features = tuple(
        ReferenceFeatures(
            np.zeros((len(s), 2), np.float32), np.array(s, np.int32), np.zeros((len(s), 64), np.float32)
        )
        for s in seen
    )
    landmarks = Landmarks(np.zeros((count, 3)), np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 64)))
    made = Map(
        "made", True, "rootsift64", tuple(f"{i}.jpg" for i in range(len(seen))),
        tuple(conditions or [""] * len(seen)), (), Rigid.stack(poses), features, landmarks, None,
        np.zeros((len(seen), 4), np.float32),
    )  # fmt: skip
    vars(made)["depth"] = 4.0
    return made


@st.composite
def maps(draw: st.DrawFn) -> Map:
    seed, references, points = (
        draw(st.integers(0, 10_000)),
        draw(st.integers(3, 14)),
        draw(st.integers(5, 60)),
    )
    generator = np.random.default_rng(seed)
    seen = [np.flatnonzero(generator.random(points) < 0.5).tolist() for _ in range(references)]
    at = generator.uniform(0, 2, (references, 3))
    poses = [Rigid.from_rotation_vector(generator.normal(0, 0.1, 3), p) for p in at]
    return made_map(seen, poses, generator.choice(["day", "night"], references).tolist())


@given(maps(), st.floats(0, 0.5), st.floats(0.05, 0.6), st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_what_was_asked_holds(made: Map, max_loss: float, view_change: float, least: int) -> None:
    spare = spare_references(made, PruneOptions(max_loss, view_change, least))
    seen = Covisibility.of(made)
    kept = np.ones(len(made), bool)
    kept[spare.all] = False
    assert kept.sum() >= 2 and not set(spare.useless) & set(spare.redundant)
    assert (seen.landmarks[spare.useless] < least).all() and (seen.landmarks[spare.redundant] >= least).all()
    near = near_views(made, view_change)
    assert all(kept[near[i]].any() for i in spare.redundant)
    if len(spare.useless):
        return  # these go whatever they take along
    matrix = seen.sightings.toarray()
    lost = (matrix * ((matrix[kept].sum(axis=0) < 2) & (matrix.sum(axis=0) >= 2))).sum(axis=1)
    useful = seen.landmarks >= least
    assert (lost[useful] <= max_loss * seen.landmarks[useful] + 1e-9).all()


def test_copies_go_and_their_landmarks_stay() -> None:
    here, there = Rigid.identity(), Rigid.from_rotation_vector([0, 0, 0], [3.0, 0, 0])
    made = made_map([list(range(20))] * 4 + [list(range(10, 40))] * 2, [here] * 4 + [there] * 2)
    spare = spare_references(made, PruneOptions(max_loss=0.0))
    assert len(spare.redundant) == 2 and not len(spare.useless), "it takes two to see a landmark"
    assert {4, 5}.isdisjoint(spare.redundant.tolist())


def test_of_what_costs_nothing_the_copy_goes() -> None:
    """Not the reference with a view of its own: landmarks seen from one place alone have no depth."""
    beside = Rigid.from_rotation_vector([0, 0, 0], [0.5, 0, 0])
    made = made_map([list(range(20))] * 3, [beside, Rigid.identity(), Rigid.identity()])
    assert spare_references(made).redundant.tolist() in ([1], [2])


def test_another_condition_is_no_copy() -> None:
    made = made_map([list(range(20))] * 4, [Rigid.identity()] * 4, ["day", "day", "night", "night"])
    kept = set(range(4)) - set(spare_references(made).all.tolist())
    assert {made.conditions[i] for i in kept} == {"day", "night"}


def test_blind_references_go_and_do_not_stand_for_others() -> None:
    made = made_map([list(range(20))] * 3 + [[], [0, 1]], [Rigid.identity()] * 5)
    spare = spare_references(made)
    assert spare.useless.tolist() == [3, 4] and len(spare.redundant) == 1


@pytest.mark.parametrize("landmarks", [20, 3])
def test_a_place_that_looks_like_another_stays_doubted(landmarks: int) -> None:
    """The only pair of twins stays, also where its references see too little to be of use."""
    here, there = Rigid.identity(), Rigid.from_rotation_vector([0, 0, 0], [50.0, 0, 0])
    seen = [list(range(landmarks))] * 4, [list(range(20, 20 + landmarks))] * 4
    made = made_map([*seen[0], *seen[1]], [here] * 4 + [there] * 4)
    gone = spare_references(made).all.tolist()
    assert {0, 4} <= set(gone), "without twins"
    doubted = replace(made, twins=np.array([[0, 4]], np.int32))
    vars(doubted)["depth"] = 4.0
    fewer = spare_references(doubted).all.tolist()
    assert {0, 4}.isdisjoint(fewer) and len(fewer) >= len(gone) - 2


def test_twins_go_where_near_views_have_the_same_pair() -> None:
    here, there = Rigid.identity(), Rigid.from_rotation_vector([0, 0, 0], [50.0, 0, 0])
    made = made_map([list(range(20))] * 4 + [list(range(20, 40))] * 4, [here] * 4 + [there] * 4)
    pairs = np.array([[i, j] for i in range(4) for j in range(4, 8)], np.int32)
    doubted = replace(made, twins=pairs)
    vars(doubted)["depth"] = 4.0
    gone = spare_references(doubted).all.tolist()
    assert gone == spare_references(made).all.tolist() and len(gone) == 4
    assert not set(gone) >= {0, 1, 2, 3} and not set(gone) >= {4, 5, 6, 7}


def test_two_stay_of_a_map_without_landmarks() -> None:
    made = made_map([[], [], []], [Rigid.identity()] * 3)
    assert len(spare_references(made).all) == 1


def test_same_map_same_answer(point_map: Map) -> None:
    first, second = (spare_references(point_map, PruneOptions(0.8, 1.5)) for _ in range(2))
    assert first.all.tolist() == second.all.tolist() and len(first.redundant)


@pytest.mark.parametrize("wrong", [{"max_loss": 1.5}, {"view_change": -1.0}, {"min_landmarks": -1}])
def test_impossible_wishes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        PruneOptions(**wrong)


def test_near_views_are_near_in_place_and_direction() -> None:
    poses = [Rigid.from_rotation_vector([0, a, 0], [x, 0, 0]) for x, a in ((0, 0), (0.9, 0), (0.9, 0.3))]
    made = replace(made_map([[0], [0], [0]], poses))
    vars(made)["depth"] = 4.0
    assert [n.tolist() for n in near_views(made, 0.25)] == [[1], [0], []]
