"""Worlds that the tests of the simulation share: building one takes seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from relpose_ros.datasets.simulate.options import SensorOptions, SimulationOptions
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.datasets.simulate.world import World, build_world
from relpose_ros.geometry.cameras import Camera

CAMERAS = {
    "pinhole": Camera("pinhole", 215.0, 209.0, 161.3, 117.4, 320, 240),
    "plumb_bob": Camera(
        "plumb_bob", 215.0, 209.0, 161.3, 117.4, 320, 240, (-0.28, 0.09, 0.002, -0.001, 0.01)
    ),
    "equidistant": Camera("equidistant", 150.0, 150.0, 158.0, 121.0, 320, 240, (0.02, -0.01, 0.003, 0.0)),
}


@pytest.fixture(scope="session")
def office() -> World:
    return build_world("office", 0, "a")


@pytest.fixture(scope="session")
def drive() -> Simulation:
    """The default drives, taken as they come."""
    return Simulation(SimulationOptions(width=320, height=240))


@pytest.fixture(scope="session")
def bare() -> Simulation:
    """The same drives with a perfect camera and no light."""
    return Simulation(SimulationOptions(width=320, height=240, sensor=SensorOptions.ideal()))


@pytest.fixture(scope="session")
def office_b() -> World:
    """The office in its other look; kept here, as worlds are large and few are remembered."""
    return build_world("office", 0, "b")


@pytest.fixture(scope="session")
def cameras() -> dict[str, Camera]:
    return CAMERAS


@pytest.fixture(scope="session")
def offset() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return measured_offset


def measured_offset(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """By how many pixels (2,) grey patch `second` is displaced from `first`, for small displacements.

    Least squares on the first-order expansion (Lucas and Kanade, 1981), on slightly smoothed patches.
    """
    import cv2

    a, b = (cv2.GaussianBlur(p.astype(np.float32), (0, 0), 1.5) for p in (first, second))
    dy, dx = np.gradient(0.5 * (a + b))
    inner = (slice(4, -4), slice(4, -4))
    slopes = np.stack([dx[inner].ravel(), dy[inner].ravel()], axis=1)
    return -np.linalg.lstsq(slopes, (b - a)[inner].ravel(), rcond=None)[0]
