"""Records made by hand: poses whose errors and covariances are known exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Localization, Matches, State

MakeRecord = Callable[..., QueryRecord]


def _record(
    name: str = "q.jpg",
    *,
    error: Any = (0, 0, 0, 0, 0, 0),
    truth: Rigid | None = None,
    known: bool = True,
    state: State = State.LOCALIZED,
    reason: str = "",
    covariance: Any = None,
    **fields: Any,
) -> QueryRecord:
    """A query whose `estimate.error_to(truth)` is `error`. `known=False`: no ground truth."""
    truth = truth or Rigid.from_rotation_vector([0.3, -0.2, 0.9], [1.0, 2.0, 0.5])
    answer: dict[str, Any] = {"reason": reason, "latency_ms": {"total": 10.0}}
    if state is not State.UNLOCALIZED:
        twist = np.asarray(error, float)
        answer["map_from_camera"] = truth.perturbed(-twist)
        answer["covariance"] = np.eye(6) * 1e-4 if covariance is None else covariance
        answer["confidence"] = 0.9
    record = {k: fields.pop(k) for k in ("image", "camera", "outside_map", "condition") if k in fields}
    stamp = fields.pop("stamp", 0.0)
    answer.update(fields)
    return QueryRecord(name, stamp, truth if known else None, Localization(state, **answer), **record)


@pytest.fixture
def record() -> MakeRecord:
    return _record


@pytest.fixture
def camera() -> Camera:
    return Camera("pinhole", 300.0, 310.0, 159.5, 119.5, 320, 240)


@pytest.fixture
def drive(camera: Camera) -> Callable[[int], list[QueryRecord]]:
    """`drive(n)`: n mixed records along a curve, with images, matches, reasons and two wrong poses."""

    def make(count: int) -> list[QueryRecord]:
        return [_drive_record(i, count, camera) for i in range(count)]

    return make


def _drive_record(index: int, count: int, camera: Camera) -> QueryRecord:
    random = np.random.default_rng(index)
    turn = 2 * np.pi * index / max(count, 2)
    truth = Rigid.from_rotation_vector([0, 0, turn], [3 * np.cos(turn), 2 * np.sin(turn), 1.2])
    sigma = np.r_[np.full(3, 0.01), np.full(3, 0.003)] * random.uniform(0.5, 2)
    points = truth.apply(np.c_[random.uniform(-1, 1, (30, 2)), random.uniform(2, 4, 30)])
    pixels = camera.project(truth.inverse().apply(points)) + random.normal(size=(30, 2))
    fields: dict[str, Any] = {
        "stamp": 100.0 + index / 10,
        "image": lambda: np.full((240, 320), 90, np.uint8),
        "camera": camera,
        "matches": Matches(pixels, points, random.random(30) < 0.7),
        "latency_ms": {"extract": 60 + random.normal(), "total": 90 + random.normal()},
    }
    if index % 7 == 3:
        reason = f"only {index} inliers, 12 needed"
        return _record(f"{index:04d}.jpg", truth=truth, state=State.UNLOCALIZED, reason=reason, **fields)
    error = sigma * random.normal(size=6) + (np.r_[1.0, 0, 0, 0, 0, 0] if index % 50 == 5 else 0)
    state = State.DEGRADED if index % 9 == 4 else State.LOCALIZED
    return _record(
        f"{index:04d}.jpg", error=error, truth=truth, state=state, covariance=np.diag(sigma**2), **fields
    )
