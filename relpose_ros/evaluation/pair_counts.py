"""How well correspondences, or poses of image pairs, are told apart: shares, in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class ClassificationScores(NamedTuple):
    """Shares in [0, 1]; NaN where nothing is counted."""

    accuracy: float
    precision: float
    recall: float
    f1: float


def classification_scores(
    logits: Array, distances: Array, threshold: float = 1e-4, compat: bool = False
) -> ClassificationScores:
    """Scores of calling `logits` > 0 inliers, when those with `distances` < `threshold` are: both (N,).

    `compat`: a logit of 0, or a distance at the threshold, is not counted at all.
    """
    called, right = logits > 0, distances < threshold
    counted = (logits != 0) & (distances != threshold) if compat else np.ones(len(logits), np.bool_)
    hits = int((called & right & counted).sum())
    agree = int(((called == right) & counted).sum())
    wrong = int((called & ~right & counted).sum())
    missed = int((~called & right & counted).sum())
    return ClassificationScores(
        _share(agree, int(counted.sum())),
        _share(hits, hits + wrong),
        _share(hits, hits + missed),
        _share(2 * hits, 2 * hits + wrong + missed),
    )


def pose_accuracy(errors: Array, thresholds: Sequence[float]) -> Array:
    """Share of errors (N,) up to each threshold: (T,). What the one-to-one framework calls mAP.

    OANet's mAP is `pose_auc.binned_auc`; only at 5 degrees they are the same. NaN counts as a failure.
    """
    if not len(errors):
        return np.full(len(thresholds), np.nan)
    return np.array([np.mean(errors <= threshold) for threshold in thresholds])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
