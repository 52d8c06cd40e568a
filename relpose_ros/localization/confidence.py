"""Confidence as a frequency: how often poses with so much support turned out right.

Platt, "Probabilistic Outputs for Support Vector Machines" (1999): a logistic curve with two parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.localization.calibration import Calibration, ambiguity

Array = NDArray[np.float64]

MIN_EACH = 10
"""Right poses and wrong ones that it takes: ten events for each thing that is learned (Peduzzi et al.,
J. Clin. Epidemiol. 49, 1996)."""

_MAX_MARGIN = 30.0
"""Support beyond this tells nothing more."""

_WIDTH = np.array([2.0, 1.0])
"""Standard deviations of the prior around the unfitted curve: of the offset, and of the slope's logarithm."""


class Trial(NamedTuple):
    """One pose: its support, its rival's, as `Calibration.confidence` takes them, and whether it is right."""

    support: float
    rival_inliers: int
    right: bool


def lacking(trials: Sequence[Trial]) -> str:
    """Why there is nothing to fit a frequency to, in words; "" where there is."""
    right = sum(t.right for t in trials)
    wrong = len(trials) - right
    if min(right, wrong) >= MIN_EACH:
        return ""
    return f"{right} right and {wrong} wrong poses, and {MIN_EACH} of each are needed"


def fit_confidence(calibration: Calibration, trials: Sequence[Trial]) -> Calibration:
    """The calibration with a confidence that follows how often `trials` were right; it rises with support.

    By likelihood around the unfitted curve. No confidence exceeds what the better supported half of them has
    shown by Laplace's rule, (right + 1) / (all + 2). Unchanged where there is nothing to fit to.
    """
    from scipy.optimize import minimize

    if lacking(trials):
        return calibration
    margin = np.array([min(calibration.margin(t.support), _MAX_MARGIN) for t in trials])
    right = np.array([t.right for t in trials])
    surer = right[np.argsort(-margin, kind="stable")[: (len(trials) + 1) // 2]]
    most = (surer.sum() + 1) / (len(surer) + 2)
    bound = most * np.array([1 - ambiguity(t.support, t.rival_inliers) ** 2 for t in trials])

    def cost(parameters: Array) -> float:
        evidence = parameters[0] + np.exp(parameters[1]) * margin
        chance = np.clip(bound / (1 + np.exp(-np.clip(evidence, -30, 30))), 1e-9, 1 - 1e-9)
        likelihood = np.log(np.where(right, chance, 1 - chance)).sum()
        return float(0.5 * ((parameters / _WIDTH) ** 2).sum() - likelihood)

    offset, logarithm = minimize(cost, np.zeros(2), method="Nelder-Mead").x.tolist()
    return replace(
        calibration,
        confidence_offset=offset,
        confidence_slope=float(np.exp(logarithm)),
        share_right=float(most),
        confidence_samples=len(trials),
    )


def confidences(calibrations: Sequence[Calibration], trials: Sequence[Trial]) -> Array:
    """The confidence (N,) of each trial, each by its own calibration."""
    pairs = zip(calibrations, trials, strict=True)
    return np.array([c.confidence(t.support, t.rival_inliers) for c, t in pairs])


def log_loss(confidence: Array, right: NDArray[np.bool_]) -> float:
    """Mean surprise: small where confidence (N,) is high for the right poses and low for the wrong ones."""
    chance = np.clip(confidence, 1e-6, 1 - 1e-6)
    return float(-np.log(np.where(right, chance, 1 - chance)).mean())
