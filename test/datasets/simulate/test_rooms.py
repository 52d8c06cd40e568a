"""Rooms by chance: each seed another place, and every place one that can be driven through."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.datasets.simulate.floor_plan import DOOR, MARGIN, WALL, FloorPlan, draw_floor_plan
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.datasets.simulate.rooms import rooms
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.datasets.simulate.surfaces import Label
from relpose_ros.datasets.simulate.tours import Tour
from relpose_ros.datasets.simulate.world import Plan

SEEDS = st.integers(0, 2**31)


@given(SEEDS)
def test_rooms_do_not_overlap_and_all_are_reached(seed: int):
    plan = draw_floor_plan(np.random.default_rng(seed))
    assert 2 <= len(plan.rooms) <= 4 and len(plan.doors) == len(plan.rooms) - 1
    for k, one in enumerate(plan.rooms):
        assert min(np.subtract(one.high, one.low)) > 2.4
        for other in plan.rooms[k + 1 :]:
            apart = np.maximum(np.subtract(one.low, other.high), np.subtract(other.low, one.high))
            assert apart.max() > WALL - 1e-9
    reached = {0}
    for _ in plan.doors:
        reached |= {r for d in plan.doors for r in d.rooms if reached & set(d.rooms)}
    assert reached == set(range(len(plan.rooms)))


@given(SEEDS)
def test_doors_go_through_the_wall_that_two_rooms_share(seed: int):
    plan = draw_floor_plan(np.random.default_rng(seed))
    for door in plan.doors:
        low, high = np.array(door.opening.low), np.array(door.opening.high)
        along = 1 - door.axis
        size = (high - low)[[door.axis, along]]
        np.testing.assert_allclose(size, [WALL, DOOR], atol=1e-9)
        touched = []
        for number in door.rooms:
            room = plan.rooms[number]
            assert low[along] > room.low[along] + MARGIN - 1e-9
            assert high[along] < room.high[along] - MARGIN + 1e-9
            touched.append(
                (abs(room.high[door.axis] - low[door.axis]), abs(room.low[door.axis] - high[door.axis]))
            )
        assert min(touched[0]) < 1e-9 and min(touched[1]) < 1e-9


@given(SEEDS, st.sampled_from([1, -1]), st.floats(0.9, 1.4))
@settings(max_examples=50)
def test_a_tour_visits_every_room_and_leaves_them_by_doors_alone(seed: int, turn: int, inset: float):
    rng = np.random.default_rng(seed)
    plan = draw_floor_plan(rng)
    corners = Tour(plan, inset, turn, rng).corners(int(rng.integers(len(plan.rooms))))
    fine = np.concatenate([np.linspace(a, b, 50) for a, b in pairwise(corners)])
    inside = np.stack([((fine > r.low) & (fine < r.high)).all(axis=1) for r in plan.rooms])
    assert inside.any(axis=1).all()
    for point in fine[~inside.any(axis=0)]:
        assert any(_in_door(plan, k, point) for k in range(len(plan.doors)))


def _in_door(plan: FloorPlan, number: int, point: np.ndarray) -> bool:
    opening = plan.doors[number].opening
    return bool(
        (point >= np.array(opening.low) - 1e-9).all() and (point <= np.array(opening.high) + 1e-9).all()
    )


def test_seeds_share_neither_walls_nor_drives_and_the_same_seed_all():
    def walls(plan: Plan) -> np.ndarray:
        return np.stack([np.r_[s.corner, s.along] for s in plan.surfaces if s.label == Label.WALL])

    one, again, other = rooms(3), rooms(3), rooms(4)
    np.testing.assert_array_equal(walls(one), walls(again))
    np.testing.assert_array_equal(one.routes["query"], again.routes["query"])
    far = np.abs(walls(one)[:, None] - walls(other)[None]).max(axis=2)
    assert far.min() > 1e-3
    length = min(len(one.routes["mapping"]), len(other.routes["mapping"]))
    apart = np.linalg.norm(one.routes["mapping"][:length] - other.routes["mapping"][:length], axis=1)
    assert np.median(apart) > 0.5


@pytest.mark.parametrize("seed", [1, 2])
def test_queries_look_at_what_the_map_shows_from_elsewhere(seed: int):
    plan = rooms(seed)
    mapping, query = plan.routes["mapping"], plan.routes["query"]
    nearest = np.array([np.linalg.norm(mapping - p, axis=1).min() for p in query])
    assert 0.05 < np.median(nearest) < 1.0 and nearest.max() < 3.0


def test_rooms_are_rich_enough_for_sift():
    options = SimulationOptions(world="rooms", seed=3, width=320, height=240, map_frames=8, query_frames=1)
    simulation, sift = Simulation(options), cv2.SIFT_create(5000)
    counts = [len(sift.detect(simulation.image(s))) for s in simulation.shots if s.split == "map"]
    assert np.median(counts) > 250
