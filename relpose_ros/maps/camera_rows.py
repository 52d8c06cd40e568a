"""Cameras as rows of numbers: model, fx fy cx cy, width height, distortion (NaN where there is less)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import DISTORTION_SIZES, Camera

_MODELS = tuple(DISTORTION_SIZES)

Rows = NDArray[np.float64]


def camera_rows(cameras: Sequence[Camera]) -> Rows:
    """(R, 15)."""
    return np.array([_row(c) for c in cameras])


def cameras_of(rows: Rows) -> tuple[Camera, ...]:
    """What `camera_rows` was made of; references with equal cameras share one object."""
    known: dict[bytes, Camera] = {}
    return tuple(known.get(r.tobytes()) or known.setdefault(r.tobytes(), _camera(r)) for r in rows)


def _row(camera: Camera) -> list[float]:
    distortion = [*camera.distortion, *[np.nan] * (8 - len(camera.distortion))]
    size = [camera.width, camera.height]
    return [_MODELS.index(camera.model), camera.fx, camera.fy, camera.cx, camera.cy, *size, *distortion]


def _camera(row: Rows) -> Camera:
    distortion = tuple(row[7:][np.isfinite(row[7:])])
    fx, fy, cx, cy = row[1:5].tolist()
    return Camera(_MODELS[int(row[0])], fx, fy, cx, cy, int(row[5]), int(row[6]), distortion)
