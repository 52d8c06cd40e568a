"""A map taken with one camera and queries with another: fisheye and pinhole, either way round."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from relpose_ros.datasets.simulate.dataset import simulate
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.features.registry import make_extractor
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.localizer import Localizer
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import Reference
from relpose_ros.types import State

PINHOLE = Camera("pinhole", 240.0, 236.0, 161.0, 118.0, 320, 240)
FISHEYE = Camera("equidistant", 125.0, 124.0, 160.5, 118.5, 320, 240, (0.02, -0.01, 0.003, 0.0))
"""Sees 75 degrees to either side."""
WIDE = Camera("plumb_bob", 300.0, 302.0, 322.0, 241.0, 640, 480, (-0.25, 0.07, 0.001, -0.002))
LENSES = {"pinhole": PINHOLE, "fisheye": FISHEYE, "wide": WIDE}
CHI2_6_95 = 12.592


@pytest.fixture(scope="module")
def halls(point_world: Any) -> Any:
    """The hall of points as each camera maps it."""

    @cache
    def made(name: str) -> Map:
        camera = LENSES[name]
        references = [
            Reference(f"r{i:02d}", camera, pose, point_world.features(pose, camera, seed=1000 + i))
            for i, pose in enumerate(point_world.drive(16))
        ]
        return assemble(references, name, True, BuildOptions(), {})

    return made


@pytest.mark.parametrize(
    ("mapped", "asked"),
    [
        ("pinhole", "fisheye"),
        ("fisheye", "pinhole"),
        ("fisheye", "fisheye"),
        ("wide", "fisheye"),
        ("fisheye", "wide"),
    ],
)
def test_points(halls: Any, point_world: Any, mapped: str, asked: str) -> None:
    localizer, camera = Localizer(halls(mapped)), LENSES[asked]
    errors, values = [], []
    for k in range(6):
        angle = 1.03 * k + 0.1
        pose = point_world.pose(angle, 1.7 * np.sin(angle) + 0.2, 1.7 * np.cos(angle))
        pose = pose.perturbed([0, 0.1, 0, 0.03, 0.05, -0.04])
        answer = localizer.localize_features(point_world.features(pose, camera, seed=k), camera)
        assert answer.state is State.LOCALIZED, answer.reason
        errors.append(answer.map_from_camera.distance_to(pose))
        values.append(nees(answer.map_from_camera.error_to(pose), answer.covariance))
    assert max(e[0] for e in errors) < 0.06 and np.rad2deg(max(e[1] for e in errors)) < 0.6
    assert np.mean(np.array(values) < CHI2_6_95) >= 5 / 6


def test_the_corners_of_a_fisheye_are_used(halls: Any, point_world: Any) -> None:
    """What a pinhole of its size cannot see takes part."""
    pose = point_world.pose(0.4, 0.3, 1.5)
    answer = Localizer(halls("pinhole")).localize_features(point_world.features(pose, FISHEYE), FISHEYE)
    rays = FISHEYE.rays(answer.matches.pixels[answer.matches.inlier])
    assert (np.hypot(*rays.T) > np.tan(np.deg2rad(45))).sum() > 50


@pytest.mark.slow
@pytest.mark.parametrize(("mapped", "asked"), [("pinhole", "fisheye"), ("fisheye", "pinhole")])
def test_rendered(mapped: str, asked: str) -> None:
    """The same office and drives, seen through either lens."""
    options = SimulationOptions(
        seed=3, width=320, height=240, map_frames=40, query_frames=10, depth=False, camera=LENSES[mapped]
    )
    source, queries = simulate(options), simulate(replace(options, camera=LENSES[asked])).queries
    extractor = make_extractor("rootsift64", 1500)
    references = [
        Reference(i.name, i.camera, i.map_from_camera, extractor.extract(i.load())) for i in source.references
    ]
    localizer = Localizer(assemble(references, mapped, True, BuildOptions(), {}))
    answers = [(q.map_from_camera, localizer.localize(q.frame())) for q in queries]
    found: list[tuple[Rigid, Any]] = [(truth, a) for truth, a in answers if a.has_pose]
    assert len(found) >= 5
    off = [a.map_from_camera.distance_to(truth) for truth, a in found]
    assert np.median([o[0] for o in off]) < 0.05 and max(o[0] for o in off) < 0.3
    assert np.rad2deg(np.median([o[1] for o in off])) < 1.0
