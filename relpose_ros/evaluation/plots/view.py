"""What the drawing from above shows: which two axes, which positions, how much magnified."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.plots.data import ReportData

Array = NDArray[np.float64]


def positions(data: ReportData) -> tuple[Array, Array]:
    """True and estimated camera positions (N, 3) each; NaN where unknown."""
    nowhere = np.full(3, math.nan)
    truth = [nowhere if r.ground_truth is None else r.ground_truth.translation for r in data.records]
    poses = [r.localization.map_from_camera for r in data.records]
    estimate = [nowhere if p is None else p.translation for p in poses]
    return np.array(truth, float).reshape(-1, 3), np.array(estimate, float).reshape(-1, 3)


def references(data: ReportData) -> Array:
    """Positions (R, 3) of the reference cameras."""
    if data.reference_poses is None:
        return np.zeros((0, 3))
    return data.reference_poses.translation.reshape(-1, 3)


def widest_axes(points: Array) -> list[int]:
    """The two map axes along which points (N, 3) spread most, in order."""
    spread = np.percentile(points, 98, axis=0) - np.percentile(points, 2, axis=0)
    return sorted(np.argsort(-spread, kind="stable")[:2].tolist())


def magnification(data: ReportData, axes_used: list[int], span: float) -> int:
    """1, 2, 5, 10, ... so that the typical error or 2-sigma radius is about 1.5 % of the drawing."""
    scores = data.scores
    sizes = scores.translation[scores.judged & np.isfinite(scores.translation)].tolist()
    for record in data.records:
        block = covariance_block(record.localization.covariance, axes_used)
        if block is not None:
            sizes.append(2 * math.sqrt(max(np.trace(block) / 2, 0)))
    typical = float(np.median(sizes)) if sizes else 0.0
    if typical <= 0:
        return 1
    factor = 0.015 * span / typical
    if factor < 2:
        return 1
    power = 10 ** math.floor(math.log10(factor))
    return int(next(m * power for m in (5, 2, 1) if m * power <= factor))


def covariance_block(covariance: Array | None, axes_used: list[int]) -> Array | None:
    """The (2, 2) position covariance along the drawn axes, if it is one."""
    if covariance is None or np.shape(covariance) != (6, 6):
        return None
    block = np.asarray(covariance, float)[np.ix_(axes_used, axes_used)]
    good = np.isfinite(block).all() and np.linalg.eigvalsh(block).min() >= 0
    return block if good else None
