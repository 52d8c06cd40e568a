"""Smooth drives along floor lines at realistic speeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

STEP = 0.02
CORNER = 0.3
"""How far (m, one standard deviation) corners of a line are rounded."""
TURN_RATE = 0.6
"""The robot slows down where it would turn faster than this (rad/s)."""

Floats = NDArray[np.float64]


def smooth_line(corners: Floats) -> Floats:
    """A polyline (K, 2) -> points (N, 2) some `STEP` apart, corners rounded.

    Rounding pulls the ends in a little.
    """
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    fine = np.linspace(0, at[-1], max(2, round(at[-1] / STEP) + 1))
    points = np.stack([np.interp(fine, at, corners[:, k]) for k in range(2)], axis=1)
    return np.stack([smoothed(points[:, k]) for k in range(2)], axis=1)


def smoothed(values: Floats) -> Floats:
    """Gaussian mean of samples (N,) that are `STEP` apart; constant beyond the ends."""
    reach = round(4 * CORNER / STEP)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) * STEP / CORNER) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


@dataclass(frozen=True)
class Drive:
    """A motion of base_link over the floor, as a function of time.

    `times` (N,) s from 0, `points` (N, 2) m and `yaws` (N,) rad (unwrapped) are close together.
    """

    times: Floats
    points: Floats
    yaws: Floats

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.times[-1])

    def map_from_base(self, time: float) -> Rigid:
        """Pose of base_link (on the floor, x ahead, z up) at a time, held at both ends."""
        x, y = (float(np.interp(time, self.times, self.points[:, k])) for k in range(2))
        yaw = float(np.interp(time, self.times, self.yaws))
        return Rigid.from_rotation_vector([0.0, 0.0, yaw], [x, y, 0.0])


def make_drive(line: Floats, speed: float, sway_deg: float, period: float, phase: float) -> Drive:
    """Drive along a fine line (N, 2) at `speed` m/s, slower in curves.

    The robot looks ahead, and to either side by up to `sway_deg` in turns of `period` metres.
    """
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    keep = np.concatenate([[True], steps > 1e-6])
    line = line[keep]
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    direction = np.gradient(line, way, axis=0)
    heading = np.unwrap(np.arctan2(direction[:, 1], direction[:, 0]))
    heading = smoothed(heading)
    yaws = heading + np.deg2rad(sway_deg) * np.sin(2 * np.pi * way / period + phase)
    curvature = np.abs(np.gradient(yaws, way))
    pace = np.minimum(speed, TURN_RATE / np.maximum(curvature, 1e-9))
    pace = smoothed(pace)
    times = np.concatenate([[0.0], np.cumsum(steps / (0.5 * (pace[1:] + pace[:-1])))])
    return Drive(times, line, yaws)
