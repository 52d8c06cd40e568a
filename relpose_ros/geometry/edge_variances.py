"""By how much predicted variances of relative poses are too small or too large: from known errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Factors = tuple[float, float]
"""Of the variances of a translation and of a rotation."""

_MEDIAN_3 = 2.366
"""Median of chi-square with three degrees of freedom."""


def variance_factors(errors: Array, covariances: Array) -> Factors:
    """By what covariances (E, 6, 6) must be multiplied to give errors (E, 6) the medians that they should.

    Medians, so that what was not known at all has no say; 1 where there is no error. ROS order: translation,
    then rotation.
    """
    if not len(errors):
        return 1.0, 1.0
    translation, rotation = (
        _factor(errors[:, part], covariances[:, part, part]) for part in (slice(0, 3), slice(3, 6))
    )
    return translation, rotation


def scaled(covariances: Array, factors: Factors) -> Array:
    """Covariances (..., 6, 6) with variances multiplied by `factors`."""
    deviation = np.sqrt(np.repeat(factors, 3))
    return np.asarray(covariances * np.outer(deviation, deviation))


def _factor(error: Array, covariance: Array) -> float:
    whitened = np.linalg.solve(covariance, error[..., None])[..., 0]
    return float(np.clip(np.median((error * whitened).sum(axis=1)) / _MEDIAN_3, 1e-3, 1e6))
