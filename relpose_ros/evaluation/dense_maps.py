"""Errors of dense maps: depth, surface normals, classes; as CrossLoc reports them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RECALL_AERIAL = {
    "30m_10deg": (30.0, 10.0),
    "20m_10deg": (20.0, 10.0),
    "10m_7deg": (10.0, 7.0),
    "5m_5deg": (5.0, 5.0),
    "3m_3deg": (3.0, 3.0),
}
"""Key -> (metres, degrees) for `metrics.recall` on scenes seen from the air."""


@dataclass(frozen=True)
class DepthErrors:
    """`absolute_relative`: mean |z - z_true| / z_true. `rms`: metres. NaN where nothing is known."""

    absolute_relative: float
    rms: float


@dataclass(frozen=True)
class ClassScores:
    """Shares in 0..1: right pixels, mean intersection over union, the same weighted by class frequency."""

    accuracy: float
    mean_iou: float
    frequency_weighted_iou: float


def depth_errors(depth: ArrayLike, truth: ArrayLike, known: ArrayLike) -> DepthErrors:
    """Errors of depths (m), all arrays of one shape, over cells that are `known`."""
    z, z_true = (np.asarray(a, np.float64)[np.asarray(known, bool)] for a in (depth, truth))
    if not z.size:
        return DepthErrors(float("nan"), float("nan"))
    difference = z - z_true
    relative = np.abs(difference) / z_true
    return DepthErrors(float(relative.mean()), float(np.sqrt(np.square(difference).mean())))


def normal_errors(normals: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Angles (N,) in degrees between vectors (N, 3), of any length but zero."""
    a, b = np.asarray(normals, np.float64), np.asarray(truth, np.float64)
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.degrees(np.arctan2(sine, np.sum(a * b, axis=-1))))


def class_scores(predicted: ArrayLike, truth: ArrayLike, classes: int) -> ClassScores:
    """Scores of one image, class maps of one shape with values below `classes`.

    Classes that neither map has do not count in the mean.
    """
    pairs = np.asarray(truth, np.intp).ravel() * classes + np.asarray(predicted, np.intp).ravel()
    confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.float64)
    right, frequency = np.diag(confusion), confusion.sum(1)
    union = frequency + confusion.sum(0) - right
    iou = right[union > 0] / union[union > 0]
    weighted = float((frequency[union > 0] * iou).sum() / frequency.sum())
    return ClassScores(float(right.sum() / frequency.sum()), float(iou.mean()), weighted)
