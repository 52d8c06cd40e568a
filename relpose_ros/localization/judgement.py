"""What a calibration is worth: before and after, on images that the fit did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.localization.calibration import CHI2_6_QUANTILES, Calibration, Sample

Array = NDArray[np.float64]

_LEVELS = np.arange(0.1, 1.0, 0.1)

_NOTABLE = 0.02
"""A standard deviation that shrinks, or a confidence that grows, by more than this share is told."""


@dataclass(frozen=True)
class Judgement:
    """Before and after, on the same images, as columns.

    `nees_*` (N,): of the right poses; `confidence_*` (M,) of all poses that are published, and whether each
    is `right`. "After" is cross-fitted.
    """

    nees_before: Array
    nees_after: Array
    confidence_before: Array
    confidence_after: Array
    right: NDArray[np.bool_]

    @property
    def coverage(self) -> tuple[float, float]:
        """Share of right poses whose error lies in the 95 % region, before and after."""
        return inside(self.nees_before), inside(self.nees_after)


def inside(nees: Array) -> float:
    """Share of NEES values (N,) in the region that should hold 95 % of them."""
    return float((nees < CHI2_6_QUANTILES[0.95]).mean())


def deviation(nees: Array) -> float:
    """Mean distance of the coverage curve of NEES values (N,) from the diagonal, levels 10 to 90 %."""
    from scipy.stats import chi2

    level = chi2.cdf(nees, 6)
    return float(np.mean([abs((level < nominal).mean() - nominal) for nominal in _LEVELS]))


def sharper(before: Calibration, after: Calibration, samples: Sequence[Sample]) -> list[str]:
    """In what covariances of these samples become smaller, in words; empty where in nothing."""
    ratios = np.array(
        [np.diag(after.covariance(s.hypothesis)) / np.diag(before.covariance(s.hypothesis)) for s in samples]
    )
    middle = {"position": np.median(ratios[:, :3]) ** 0.5, "orientation": np.median(ratios[:, 3:]) ** 0.5}
    return [
        f"less careful: standard deviations of the {what} become {ratio:.2f} of what they were (median)"
        for what, ratio in middle.items()
        if ratio < 1 - _NOTABLE
    ]


def surer(judgement: Judgement) -> list[str]:
    """By how much the confidence of what is published rises, in words; empty where it does not."""
    old, new = judgement.confidence_before.mean(), judgement.confidence_after.mean()
    if new <= old * (1 + _NOTABLE):
        return []
    return [f"less careful: confidence rises from {old:.2f} to {new:.2f} (mean of what is published)"]
