"""Do the stated covariances hold the truth? NEES, coverage and its interval.

NEES is the normalised estimation error squared: Bar-Shalom, Li, Kirubarajan, "Estimation with
Applications to Tracking and Navigation" (2001), section 5.4. It is chi-squared with six degrees
of freedom when the covariance is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

DOF = 6
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Nominal levels of the reliability curve."""

MIN_SIGMA = 1e-9
"""Smallest standard deviation believed (map units, radians); keeps singular covariances usable."""

MIN_EIGENVALUE = 1e-10
"""Smallest eigenvalue of the correlation matrix believed."""

INCONSISTENT_P = 1e-6
"""A pose whose NEES would be exceeded by chance less often than this is inconsistent."""


def nees(error: ArrayLike, covariance: ArrayLike | None) -> float:
    """`e' inv(S) e` of an error twist (6,) and its covariance (6, 6).

    `error` is `estimate.error_to(ground_truth)`: translation, then rotation about the map's fixed
    axes, which is what the covariance speaks of. Singular covariances are floored (`MIN_SIGMA`,
    `MIN_EIGENVALUE`), so that an error along a direction stated as certain gives a huge value.
    NaN when there is no covariance; infinite when it cannot be one (shape, NaN, asymmetric,
    indefinite) or when the error is not finite.
    """
    if covariance is None:
        return math.nan
    e, sigma = np.asarray(error, float), np.asarray(covariance, float)
    if sigma.shape != (DOF, DOF) or not np.isfinite(sigma).all() or not np.isfinite(e).all():
        return math.inf
    deviation = np.sqrt(np.maximum(np.diag(sigma), MIN_SIGMA**2))
    correlation = sigma / np.outer(deviation, deviation)
    if np.abs(correlation - correlation.T).max() > 1e-6:
        return math.inf
    values, vectors = np.linalg.eigh(0.5 * (correlation + correlation.T))
    if values[0] < -1e-6 or (np.diag(sigma) < 0).any():
        return math.inf
    whitened = (vectors.T @ (e / deviation)) ** 2 / np.maximum(values, MIN_EIGENVALUE)
    return float(whitened.sum())


def threshold(level: float) -> float:
    """The NEES that a right covariance stays below with probability `level`."""
    return float(stats.chi2.ppf(level, DOF))


def inconsistent(values: Array) -> NDArray[np.bool_]:
    """Which NEES values (N,) are beyond chance (`INCONSISTENT_P`); NaN is not."""
    limit = float(stats.chi2.isf(INCONSISTENT_P, DOF))
    return values > limit


@dataclass(frozen=True)
class Share:
    """A share `hits / count` and the Wilson score interval (95 %) of what it estimates.

    NaN where `count` is 0. Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", JASA 22 (1927).
    """

    hits: int
    count: int
    z: float = 1.959963984540054

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end."""
        if not self.count:
            return math.nan, math.nan
        n, p, z2 = self.count, self.value, self.z**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = self.z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    @property
    def at_most(self) -> float:
        """What it estimates is below this with 95 %: Clopper and Pearson, Biometrika 26 (1934), one-sided."""
        if self.hits >= self.count:
            return 1.0 if self.count else math.nan
        return float(stats.beta.ppf(0.95, self.hits + 1, self.count - self.hits))

    def to_json(self) -> dict[str, Any]:
        """`share, low, high, count`."""
        low, high = self.interval
        return {"share": self.value, "low": low, "high": high, "count": self.count}


def coverage(values: Array, level: float = 0.95) -> Share:
    """Share of NEES values (N,) below the chi-squared threshold of `level`; NaN is left out."""
    known = values[~np.isnan(values)]
    return Share(int((known < threshold(level)).sum()), len(known))


def reliability(values: Array) -> list[dict[str, Any]]:
    """Coverage at each of `LEVELS`: a right covariance gives share == level."""
    return [{"level": level, **coverage(values, level).to_json()} for level in LEVELS]
