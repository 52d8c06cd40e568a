"""Thinning of image sequences: every Nth, and only after enough motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid


def keyframes(
    poses: Sequence[Rigid | None], every: int = 1, min_distance_m: float = 0.0, min_angle_deg: float = 0.0
) -> list[int]:
    """Indices to keep: every Nth image, and of these those that moved or turned enough since the last.

    With both limits, either motion is enough. Images without a pose are dropped when a limit is given.
    """
    if every < 1:
        raise ConfigurationError(f"every: expected a whole number of 1 or more, got {every}")
    candidates = list(range(0, len(poses), every))
    if min_distance_m <= 0 and min_angle_deg <= 0:
        return candidates
    kept: list[int] = []
    for index in candidates:
        pose = poses[index]
        last = poses[kept[-1]] if kept else None
        if pose is not None and (last is None or _moved(last, pose, min_distance_m, min_angle_deg)):
            kept.append(index)
    return kept


def _moved(last: Rigid, pose: Rigid, min_distance_m: float, min_angle_deg: float) -> bool:
    distance, angle = last.distance_to(pose)
    far = min_distance_m > 0 and distance >= min_distance_m
    turned = min_angle_deg > 0 and np.rad2deg(angle) >= min_angle_deg
    return bool(far or turned)
