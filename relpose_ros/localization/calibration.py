"""Raw covariance and evidence -> calibrated covariance and confidence, learned per map.

The formula covariance knows pixel noise. It does not know that the references' own poses are
a little wrong, that errors of neighbouring landmarks go together, or that keypoints drift when
they are seen from elsewhere. The map's held-out references do: each is localized in the map
without it, and what it missed by is the data that this model is fitted to (docs/uncertainty.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Hypothesis

Array = NDArray[np.float64]

CHI2_6_QUANTILES = {0.8: 8.558, 0.9: 10.645, 0.95: 12.592}
"""Of the chi-square distribution with six degrees of freedom."""

_PRIOR_SAMPLES = 10.0
"""How many held-out references the prior weighs: maps of a handful of images lean on it."""

ANOTHER_DRIVE = 1.15
"""What held-out references say of variances is off on another drive by a factor whose logarithm scatters by
some 0.3 from world to world (0.26 in three simulated offices, docs/uncertainty.md): stretched by this, 95 %
of all worlds' errors together are inside."""


class Gross(NamedTuple):
    """Held-out errors beyond these (rad; share of the depth) are wrong poses: the confidence's
    business. A covariance stretched over them would be useless for the right ones."""

    rotation: float = 0.1
    translation: float = 0.1


GROSS = Gross()


class Sample(NamedTuple):
    """One held-out reference: what was estimated, and its true `map_from_camera`."""

    hypothesis: Hypothesis
    map_from_camera: Rigid

    @property
    def error(self) -> Array:
        """Twist (6,) from the estimate to the truth."""
        return self.hypothesis.map_from_camera.error_to(self.map_from_camera)

    @property
    def is_gross(self) -> bool:
        """Whether the pose is simply wrong."""
        return self.is_beyond(GROSS)

    def is_beyond(self, limits: Gross) -> bool:
        """Whether the error is beyond either limit."""
        error = self.error
        depth = max(self.hypothesis.evidence.depth, 1e-9)
        turned = float(np.linalg.norm(error[3:])) > limits.rotation
        return turned or float(np.linalg.norm(error[:3])) > limits.translation * depth


@dataclass(frozen=True)
class Calibration:
    """Calibrated covariance = scale * raw + floor * (1 + (view_slope * view_change)^2).

    `floor` is diagonal and speaks of errors that more inliers do not average out: with the
    median reprojection residual as an angle a, (rotation_floor * a)^2 for the rotation and
    (translation_floor * a * depth)^2 for the translation. Where the references' poses do not
    agree with each other the residual is large, and it says so frame by frame. What the mounts of a rig add
    is known without calibration and not scaled.
    `min_inliers`: support that wrong poses did not reach when references were localized in
    parts of this map that do not show them. `samples`: held-out references used; `coverage_95`
    and `availability` are theirs, after fitting. `share_right`: of poses with that much support those that
    were right, where wrong ones reach it too; no confidence exceeds it. `confidence_offset` and
    `confidence_slope` shape the confidence; `confidence_samples`: poses to whose being right or wrong they
    were fitted, 0 where they were not (localization/confidence.py).
    """

    scale: float = 4.0
    translation_floor: float = 0.7
    rotation_floor: float = 0.7
    view_slope: float = 3.0
    min_inliers: int = 15
    samples: int = 0
    coverage_95: float | None = None
    availability: float | None = None
    share_right: float = 1.0
    confidence_offset: float = 0.0
    confidence_slope: float = 1.0
    confidence_samples: int = 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Out of a map; the prior where the map has none."""
        return cls(**{k: values[k] for k in cls.__dataclass_fields__ if k in values})

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for the map file."""
        return asdict(self)

    def covariance(self, hypothesis: Hypothesis) -> Array:
        """Calibrated covariance (6, 6), ROS order."""
        evidence = hypothesis.evidence
        growth = 1 + (self.view_slope * evidence.view_change) ** 2
        rotation = (self.rotation_floor * evidence.residual_angle) ** 2 * growth
        translation = (self.translation_floor * evidence.residual_angle * evidence.depth) ** 2 * growth
        floor = np.repeat([translation, rotation], 3)
        calibrated = np.asarray(self.scale * hypothesis.covariance + np.diag(floor))
        added = hypothesis.mount_covariance
        return calibrated if added is None else calibrated + added

    def nees(self, sample: Sample) -> float:
        """Normalised estimation error squared of a sample (6 degrees of freedom)."""
        error = sample.error
        return float(error @ np.linalg.solve(self.covariance(sample.hypothesis), error))

    def confidence(self, support: float, rival_inliers: int) -> float:
        """Chance in [0, 1] that a pose with this support is not a wrong one.

        A logistic curve in the support beyond `min_inliers` (half of `share_right` there, unless it was
        fitted) that falls with a rival's support.
        """
        evidence = self.confidence_offset + self.confidence_slope * self.margin(support)
        certain = 1 - ambiguity(support, rival_inliers) ** 2
        return float(self.share_right * certain / (1 + np.exp(-np.clip(evidence, -30.0, 30.0))))

    def margin(self, support: float) -> float:
        """Support beyond `min_inliers`, in quarters of it."""
        return (support - self.min_inliers) / (0.25 * self.min_inliers)


def ambiguity(support: float, rival_inliers: int) -> float:
    """Share (0..1) of a pose's support that a rival elsewhere has."""
    return min(rival_inliers / max(support, 1.0), 1.0)


def fit_calibration(samples: Sequence[Sample], gross: Gross = GROSS, widened: float = 1.0) -> Calibration:
    """Fit scale, floors and slope to held-out references, by likelihood, then by coverage.

    Samples beyond `gross` are left out. `widened`: factor on the covariances that were fitted, for errors
    that are not quite those of the samples.

    The likelihood is that of a Student t with 6 degrees of freedom around the prior (the
    defaults of `Calibration`); then all is stretched so that the upper quantiles of the NEES
    lie where chi-square has them. With few samples both stay near the prior.
    """
    from scipy.optimize import minimize

    usable = [s for s in samples if not s.is_beyond(gross)]
    prior = Calibration()
    if len(usable) < 3:
        return replace(prior, samples=len(usable))
    data = _Arrays.of(usable)
    start = np.log([prior.scale, prior.translation_floor, prior.rotation_floor, prior.view_slope])
    width = np.array([1.5, 1.0, 1.0, 1.0])

    def cost(logarithms: Array) -> float:
        pull = (((logarithms - start) / width) ** 2).sum()
        return _student_cost(np.exp(logarithms), data) + float(pull)

    options = {"maxiter": 3000, "fatol": 1e-4, "xatol": 1e-4}
    fitted = np.exp(minimize(cost, start, method="Nelder-Mead", options=options).x)
    scale, translation, rotation, slope = fitted.tolist()
    calibration = Calibration(scale, translation, rotation, slope, samples=len(usable))
    return _to_coverage(calibration, usable, widened)


class _Arrays(NamedTuple):
    """Samples side by side, for the optimiser."""

    error: Array
    raw: Array
    view_change: Array
    depth: Array
    residual_angle: Array

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> _Arrays:
        evidence = [s.hypothesis.evidence for s in samples]
        return cls(
            np.array([s.error for s in samples]),
            np.array([s.hypothesis.covariance for s in samples]),
            np.array([e.view_change for e in evidence]),
            np.array([e.depth for e in evidence]),
            np.array([e.residual_angle for e in evidence]),
        )


def _student_cost(parameters: Array, data: _Arrays, freedom: float = 6.0) -> float:
    scale, translation, rotation, slope = parameters
    growth = 1 + (slope * data.view_change) ** 2
    covariance = scale * data.raw
    for axis in range(3):
        moved = translation * data.residual_angle * data.depth
        covariance[:, axis, axis] += moved**2 * growth
        covariance[:, axis + 3, axis + 3] += (rotation * data.residual_angle) ** 2 * growth
    sign, logdet = np.linalg.slogdet(covariance)
    if not np.isfinite(logdet).all() or (sign <= 0).any():
        return 1e12
    whitened = np.linalg.solve(covariance, data.error[..., None])[..., 0]
    squared = (data.error * whitened).sum(axis=1)
    return float((0.5 * logdet + 0.5 * (freedom + 6) * np.log1p(squared / freedom)).sum())


def _to_coverage(calibration: Calibration, samples: Sequence[Sample], widened: float) -> Calibration:
    """Stretch everything by the mean ratio of the upper NEES quantiles to chi-square's.

    Several quantiles, because the 95 % one of a dozen samples is just their largest.
    """
    values = np.array([calibration.nees(s) for s in samples])
    ratios = [float(np.quantile(values, q)) / chi2 for q, chi2 in CHI2_6_QUANTILES.items()]
    share = len(values) / (len(values) + _PRIOR_SAMPLES)
    stretch = float(np.exp(share * np.mean(np.log(np.maximum(ratios, 0.05)))))
    # What was fitted to n samples predicts the next one a little worse than it fits them.
    stretch *= (1 + 4 / len(values)) * widened
    return replace(
        calibration,
        scale=calibration.scale * stretch,
        translation_floor=calibration.translation_floor * stretch**0.5,
        rotation_floor=calibration.rotation_floor * stretch**0.5,
        coverage_95=float(np.mean(values / stretch < CHI2_6_QUANTILES[0.95])),
    )
