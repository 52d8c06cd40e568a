"""Poses that should not have been published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.metrics import Scores
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.geometry.rigid import Rigid

GROSS_METRES = 0.5
GROSS_SHARE = 0.05
"""Of the scene extent, where the map's unit is not the metre."""
GROSS_DEGREES = 5.0


@dataclass(frozen=True)
class GrossLimits:
    """Beyond either limit (map units; degrees) a pose is grossly wrong."""

    translation: float
    rotation_deg: float


def scene_extent(records: Sequence[QueryRecord], reference_poses: Rigid | None) -> float:
    """Diagonal of the box around the reference positions, in map units.

    Around the ground truth of the queries where no references are given; NaN when that leaves
    less than two different positions.
    """
    if reference_poses is not None:
        positions = reference_poses.translation.reshape(-1, 3)
    else:
        truths = [r.ground_truth.translation for r in records if r.ground_truth is not None]
        positions = np.array(truths).reshape(-1, 3)
    diagonal = float(np.linalg.norm(np.ptp(positions, axis=0))) if len(positions) else 0.0
    return diagonal if diagonal > 0 else math.nan


def gross_limits(metric: bool, extent: float) -> GrossLimits:
    """0.5 m or 5 deg; 5 % of the extent or 5 deg where the unit is not the metre.

    With an unknown extent only the angle is judged.
    """
    if metric:
        return GrossLimits(GROSS_METRES, GROSS_DEGREES)
    return GrossLimits(GROSS_SHARE * extent if math.isfinite(extent) else math.inf, GROSS_DEGREES)


def grossly_wrong(scores: Scores, limits: GrossLimits) -> NDArray[np.bool_]:
    """Published poses inside the map whose error is beyond a limit, or not finite."""
    far = (scores.translation > limits.translation) | ~np.isfinite(scores.translation)
    return scores.judged & (far | (scores.rotation_deg > limits.rotation_deg))


def false_poses(scores: Scores, limits: GrossLimits) -> NDArray[np.bool_]:
    """Grossly wrong poses declared localized, and every pose published for a place not in the map."""
    return (grossly_wrong(scores, limits) & scores.localized) | (scores.outside & scores.published)
