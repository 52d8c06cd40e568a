"""Hypotheses -> one Localization, or an abstention with its reason in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relpose_ros.localization.calibration import Calibration
from relpose_ros.types import Hypothesis, Localization, State


@dataclass(frozen=True)
class ArbiterOptions:
    """When a pose is believed.

    `min_inliers` and `min_spread` (share of the image): less is never published;
    `relative_factor`: the relative road needs that many times more inliers, because an
    epipolar line is easier to meet by chance than a point; `max_ambiguity`: a rival elsewhere
    with more than this share of the support; `max_rotation_sigma` (rad) and
    `max_translation_sigma` (share of the scene's depth): a vaguer pose is not published;
    above a third of these it is `degraded`.
    """

    min_inliers: int = 15
    min_spread: float = 0.08
    relative_factor: float = 3.0
    max_ambiguity: float = 0.5
    max_rotation_sigma: float = 0.15
    max_translation_sigma: float = 0.15


@dataclass(frozen=True)
class Arbiter:
    """Judges hypotheses by the map's calibration. It never returns a reference's pose instead."""

    calibration: Calibration
    options: ArbiterOptions

    def decide(self, hypotheses: list[Hypothesis], otherwise: str) -> Localization:
        """The best hypothesis that stands up to judgement; `otherwise` is the reason when none came."""
        reasons = []
        for hypothesis in sorted(hypotheses, key=self._support, reverse=True):
            objection = self._objection(hypothesis)
            if objection is None:
                return self._accept(hypothesis)
            reasons.append(objection)
        return Localization(State.UNLOCALIZED, reasons[0] if reasons else otherwise)

    def _support(self, hypothesis: Hypothesis) -> float:
        factor = self.options.relative_factor if hypothesis.method == "relative" else 1.0
        return hypothesis.evidence.inliers / factor

    def _needed(self, hypothesis: Hypothesis) -> int:
        factor = self.options.relative_factor if hypothesis.method == "relative" else 1.0
        return int(np.ceil(factor * max(self.options.min_inliers, self.calibration.min_inliers)))

    def _objection(self, hypothesis: Hypothesis) -> str | None:
        """Why this must not be published, or None."""
        evidence, options = hypothesis.evidence, self.options
        if not evidence.scale_known:
            return (
                f"only a direction from one reference ({hypothesis.references[0]}): no landmark "
                "and no second reference gives the scale"
            )
        if evidence.inliers < self._needed(hypothesis):
            return (
                f"{evidence.inliers} of {evidence.matches} matches agree on a pose by "
                f"{hypothesis.method}; {self._needed(hypothesis)} are needed to rule out chance"
            )
        if evidence.spread < options.min_spread:
            return f"the matches cover {evidence.spread:.0%} of the image; too small a part to trust"
        if evidence.rival_inliers > options.max_ambiguity * evidence.inliers:
            return (
                f"ambiguous: {evidence.inliers} matches speak for one place and "
                f"{evidence.rival_inliers} for another that looks alike"
            )
        return self._vagueness(hypothesis, 1.0)

    def _vagueness(self, hypothesis: Hypothesis, share: float) -> str | None:
        covariance = self.calibration.covariance(hypothesis)
        if not np.isfinite(covariance).all():
            return "the geometry does not determine the pose"
        sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        limit = share * self.options.max_translation_sigma * hypothesis.evidence.depth
        if sigma[:3].max() > limit:
            return f"position known to {sigma[:3].max():.3g} map units (1 sigma); the limit is {limit:.3g}"
        turn = share * self.options.max_rotation_sigma
        if sigma[3:].max() > turn:
            return (
                f"orientation known to {np.rad2deg(sigma[3:].max()):.2g} deg (1 sigma); "
                f"the limit is {np.rad2deg(turn):.2g}"
            )
        return None

    def _accept(self, hypothesis: Hypothesis) -> Localization:
        vague = self._vagueness(hypothesis, 1 / 3)
        few = self._support(hypothesis) < 1.5 * max(self.options.min_inliers, self.calibration.min_inliers)
        reason = vague or (f"only {hypothesis.evidence.inliers} matches agree" if few else "")
        return Localization(
            state=State.DEGRADED if reason else State.LOCALIZED,
            reason=reason,
            map_from_camera=hypothesis.map_from_camera,
            covariance=self.calibration.covariance(hypothesis),
            confidence=self.calibration.confidence(
                self._support(hypothesis), hypothesis.evidence.rival_inliers
            ),
            method=hypothesis.method,
            inliers=hypothesis.evidence.inliers,
            references=hypothesis.references,
            matches=hypothesis.matches,
        )
