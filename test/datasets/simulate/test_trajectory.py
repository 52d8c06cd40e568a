"""Drives: smooth, slow, free of collisions, and different from each other."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.datasets.simulate.building import distance_to_rectangle
from relpose_ros.datasets.simulate.corridor import corridor
from relpose_ros.datasets.simulate.office import STORE, office
from relpose_ros.datasets.simulate.options import OPTICAL_FROM_BODY, forward_camera
from relpose_ros.datasets.simulate.rooms import rooms
from relpose_ros.datasets.simulate.simulation import Simulation, SimulationOptions
from relpose_ros.datasets.simulate.surfaces import Label
from relpose_ros.datasets.simulate.trajectory import make_drive, smooth_line

LAYOUTS = {"office": office, "corridor": corridor, "rooms": rooms}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", LAYOUTS)
def test_no_drive_touches_anything(kind: str, seed: int):
    plan = LAYOUTS[kind](seed)
    for name, line in plan.routes.items():
        for footprint in plan.obstacles:
            assert distance_to_rectangle(line, footprint).min() > 0.35, name
        for wall in (s for s in plan.surfaces if s.label == Label.WALL and (s.corner + s.down)[2] < 0.1):
            ends = np.stack([wall.corner[:2], (wall.corner + wall.along)[:2]])
            assert distance_to_segment(line, ends).min() > 0.35, name


def distance_to_segment(points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    way = ends[1] - ends[0]
    share = np.clip((points - ends[0]) @ way / (way @ way), 0, 1)
    return np.linalg.norm(points - ends[0] - share[:, None] * way, axis=1)


@pytest.mark.parametrize("split", ["map", "query"])
def test_speeds_are_those_of_a_robot(split: str):
    drive = Simulation(SimulationOptions()).drive(split)
    times = np.arange(0, drive.duration, 0.05)
    poses = [drive.map_from_base(t) for t in times]
    places = np.array([p.translation for p in poses])
    speed = np.linalg.norm(np.diff(places, axis=0), axis=1) / 0.05
    turns = [poses[k].distance_to(poses[k + 1])[1] / 0.05 for k in range(len(poses) - 1)]
    assert speed.max() < 0.51
    assert np.median(speed) > 0.2
    assert max(turns) < 1.0
    np.testing.assert_array_equal(places[:, 2], 0.0)


def test_a_drive_goes_where_its_line_goes():
    line = smooth_line(np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0]]))
    drive = make_drive(line, 0.5, 0.0, 4.0, 0.0)
    start, end = drive.map_from_base(0.0), drive.map_from_base(drive.duration)
    np.testing.assert_allclose(start.rotation @ [1, 0, 0], [1, 0, 0], atol=0.05)
    np.testing.assert_allclose(end.rotation @ [1, 0, 0], [0, 1, 0], atol=0.05)
    np.testing.assert_allclose(end.translation, [4.0, 3.0, 0.0], atol=0.3)
    assert 6.5 / 0.5 < drive.duration < 7.0 / 0.5 + 5


def test_the_camera_looks_ahead_and_level():
    simulation = Simulation(SimulationOptions(base_from_camera=forward_camera(0.2, 0.05, 1.1, 0.0)))
    for time in (1.0, 9.0):
        camera, base = simulation.map_from_camera("map", time), simulation.drive("map").map_from_base(time)
        np.testing.assert_allclose(camera.rotation @ [0, 0, 1], base.rotation @ [1, 0, 0], atol=1e-12)
        np.testing.assert_allclose(camera.rotation @ [0, 1, 0], [0, 0, -1], atol=1e-12)
        np.testing.assert_allclose(
            base.inverse().apply(camera.translation[None])[0], [0.2, 0.05, 1.1], atol=1e-9
        )
    assert np.linalg.det(OPTICAL_FROM_BODY) == pytest.approx(1.0)
    assert (forward_camera(pitch_deg=10).rotation @ [0, 0, 1])[2] < -0.1  # pitched down


def test_the_query_drive_takes_other_lines_and_ends_where_the_map_has_nothing():
    plan = office(0)
    mapping, query = plan.routes["mapping"], plan.routes["query"]
    nearest = np.array([np.linalg.norm(mapping - p, axis=1).min() for p in query])
    assert np.median(nearest) > 0.08
    inside = ((line > STORE.low) & (line < STORE.high) for line in (mapping, query))
    visited = [bool(i.all(axis=1).any()) for i in inside]
    assert visited == [False, True]


def test_the_rate_sets_the_stamps_and_without_one_the_drive_is_covered():
    covered = Simulation(SimulationOptions(map_frames=9, query_frames=5))
    ends = [s.time for s in covered.shots if s.split == "map"]
    assert ends[0] == 0
    assert ends[-1] == covered.drive("map").duration
    paced = Simulation(SimulationOptions(map_frames=9, query_frames=5, rate=4.0))
    np.testing.assert_allclose(np.diff([s.stamp for s in paced.shots if s.split == "query"]), 0.25, atol=1e-6)
