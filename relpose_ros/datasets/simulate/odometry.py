"""Wheel odometry of a drive: right from moment to moment, drifting in the long run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.trajectory import Drive
from relpose_ros.geometry.rigid import Rigid

RATE = 20.0
SCALE_ERROR = 0.01
"""Standard deviation of the share by which the wheels are thought too large or small."""
YAW_DRIFT = np.deg2rad(0.4)
"""Standard deviation of the steady yaw drift, radians per metre."""
YAW_NOISE = np.deg2rad(0.3)
"""Random walk of the yaw, radians per square root of a metre."""


@dataclass(frozen=True)
class Odometer:
    """One reading: `odom_from_base` at `time` s, `twist` (6,) in base axes (m/s, rad/s; linear first)."""

    time: float
    odom_from_base: Rigid
    twist: NDArray[np.float64]


def odometry(drive: Drive, times: NDArray[np.float64], rng: Generator) -> Iterator[Odometer]:
    """Readings at the increasing `times` (N,). The first one is the true pose of the start: no drift yet."""
    scale = 1 + rng.normal(0, SCALE_ERROR)
    drift = rng.normal(0, YAW_DRIFT)
    true = drive.map_from_base(float(times[0]))
    guess, before = true, float(times[0])
    yield Odometer(before, guess, np.zeros(6))
    for time in map(float, times[1:]):
        now = drive.map_from_base(time)
        step = true.inverse() @ now
        way = float(np.linalg.norm(step.translation))
        turn = step.rotation_vector.copy()
        turn[2] += drift * way + rng.normal(0, YAW_NOISE) * np.sqrt(way)
        measured = Rigid.from_rotation_vector(turn, scale * step.translation)
        guess = guess @ measured
        twist = np.concatenate([measured.translation, turn]) / max(time - before, 1e-9)
        yield Odometer(time, guess, twist)
        true, before = now, time


def reading_times(image_times: NDArray[np.float64]) -> NDArray[np.float64]:
    """When the odometer is read: at `RATE` from the first to the last image, and at every image."""
    steady = np.arange(image_times[0], image_times[-1], 1 / RATE)
    nearest = np.abs(steady[:, None] - image_times).min(axis=1)
    return np.sort(np.concatenate([steady[nearest > 0.1 / RATE], image_times]))
