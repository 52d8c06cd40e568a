"""Relative-pose errors and the area under their recall curve, as the matching literature reports them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.records import is_finite
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


def direction_angle_deg(first: Array, second: Array, either_sign: bool = False) -> float:
    """Angle between two vectors (3,) in degrees, 0 to 180; with `either_sign` 0 to 90."""
    angle = float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))
    return min(angle, 180.0 - angle) if either_sign else angle


def relative_pose_errors_deg(
    estimate: Rigid | None, truth: Rigid, either_sign: bool = True
) -> tuple[float, float]:
    """Rotation error and angle between the translations, degrees; both infinite without an estimate.

    Both transforms are `second_from_first`. The published protocols forgive a translation that points
    the other way (`either_sign`), although the points in front of the cameras decide its sign.
    """
    if estimate is None or not is_finite(estimate):
        return float("inf"), float("inf")
    rotation = Rigid(truth.rotation @ estimate.rotation.T, np.zeros(3)).angle
    translation = direction_angle_deg(estimate.translation, truth.translation, either_sign)
    return float(np.degrees(rotation)), translation


def pose_auc(errors: Array, thresholds: Sequence[float]) -> Array:
    """Area under the recall curve of errors (N,) up to each threshold, over the threshold: (T,) in [0, 1].

    The curve joins the points (sorted error, share of errors up to it) by straight lines and is level
    from the last error below the threshold on (Sarlin et al., SuperGlue, CVPR 2020). An infinite error
    is a failure; NaN is one too. NaN when there are no errors.
    """
    ordered = np.sort(np.where(np.isnan(errors), np.inf, errors))
    if not len(ordered):
        return np.full(len(thresholds), np.nan)
    recall = np.arange(len(ordered) + 1) / len(ordered)
    ordered = np.concatenate([[0.0], ordered])
    areas = []
    for threshold in thresholds:
        below = int(np.searchsorted(ordered, threshold))
        x = np.append(ordered[:below], threshold)
        y = np.append(recall[:below], recall[max(below - 1, 0)])
        areas.append(float(np.trapezoid(y, x)) / threshold)
    return np.array(areas)


def binned_auc(errors: Array, thresholds: Sequence[float], step: float = 5.0) -> Array:
    """The mean recall at `step`, 2 `step`, ... up to each threshold: (T,) in [0, 1].

    What the older literature calls mAP (Zhang et al., OANet, ICCV 2019): it grows with the step, so it
    must not be compared with `pose_auc`. NaN when there are no errors.
    """
    if not len(errors):
        return np.full(len(thresholds), np.nan)
    bounds = [np.arange(step, threshold + step / 2, step) for threshold in thresholds]
    return np.array([np.mean([np.mean(errors < bound) for bound in part]) for part in bounds])
