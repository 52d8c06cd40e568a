"""Hypotheses -> one Localization, or an abstention with its reason in words."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from relpose_ros.localization.calibration import Calibration
from relpose_ros.types import Alternative, Hypothesis, Localization, State

SCENE = "scene_coordinates"
"""The road whose network learned the place by itself: what it says is a second opinion."""

REGRESSION = "regression"
"""Poses that a network regresses from references; nothing was measured. They are heard last."""

REFINED = "regression_refined"
"""The same, after landmarks were found near where such a pose expects them."""

_TURN = {REFINED: -1, REGRESSION: -2}
"""Who is heard after the others, and in which order."""


@dataclass(frozen=True)
class ArbiterOptions:
    """When a pose is believed.

    `min_inliers` and `min_spread` (share of the image): less is never published;
    `relative_factor`: the relative road needs that many times more inliers, because an
    epipolar line is easier to meet by chance than a point; `min_patches`: of scene coordinates,
    16 cells each, what `min_inliers` is of matches; `max_ambiguity`: a rival elsewhere
    with more than this share of the support; `max_rotation_sigma` (rad) and
    `max_translation_sigma` (share of the scene's depth): a vaguer pose is not published;
    above a third of these it is `degraded`; `same_sigma`, `same_distance` (share of the depth), `same_angle`
    (rad): two roads contradict each other when their poses are further apart than so many standard
    deviations and than these. `min_references`: of regression, what `min_inliers` is of matches;
    `least_right`, `surely_right`: share of held-out regressed poses that must have been right for one to be
    published at all, and for one to be more than `degraded`, for which `surely_agreeing` (a share) of the
    references must agree too. `hint_trust`: the chance that a hint is right, which is all that speaks for a
    place that only a hint tells from another.
    """

    min_inliers: int = 15
    min_spread: float = 0.08
    relative_factor: float = 3.0
    min_patches: int = 15
    max_ambiguity: float = 0.5
    max_rotation_sigma: float = 0.15
    max_translation_sigma: float = 0.15
    same_sigma: float = 4.0
    same_distance: float = 0.05
    same_angle: float = 0.09
    min_references: int = 3
    least_right: float = 0.8
    surely_right: float = 0.95
    surely_agreeing: float = 0.7
    hint_trust: float = 0.9


@dataclass(frozen=True)
class Arbiter:
    """Judges hypotheses by the map's calibration. It never returns a reference's pose instead.

    `calibrations`: of roads that have one of their own, by method.
    """

    calibration: Calibration
    options: ArbiterOptions
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def decide(self, hypotheses: list[Hypothesis], otherwise: str) -> Localization:
        """The best hypothesis that stands up to judgement; `otherwise` is the reason when none came.

        Where two of landmarks, relative poses and scene coordinates stand up, they must agree. Between scene
        coordinates and another road the answer is then the one whose calibrated covariance is smaller: both
        are believed, and that one is known better. Regression alone is heard where nobody else stands up and
        nobody is in doubt between places; refined, where no other road by matches stands up. Neither
        overrules one that does.
        """
        reasons: list[str] = []
        accepted: list[Hypothesis] = []
        for hypothesis in sorted(hypotheses, key=self._standing, reverse=True):
            objection = self._objection(hypothesis)
            if objection is None:
                accepted.append(hypothesis)
            else:
                reasons.append(objection)
        opinions = [first for first in (_first(accepted, True), _first(accepted, False)) if first is not None]
        if not opinions and accepted:
            opinions = [accepted[0]]
        if not opinions:
            return Localization(
                State.UNLOCALIZED,
                reasons[0] if reasons else otherwise,
                alternatives=self._alternatives(hypotheses),
            )
        if contradiction := self._contradicted(opinions, accepted):
            return Localization(State.UNLOCALIZED, contradiction)
        if len(opinions) == 1 and (doubt := self._unsettled(opinions[0], hypotheses)):
            return Localization(State.UNLOCALIZED, doubt, alternatives=self._alternatives(hypotheses))
        hinted = next((name for h in opinions if (name := h.evidence.hinted_away)), "")
        taken = min(opinions, key=self._volume)
        taken = replace(taken, evidence=replace(taken.evidence, hinted_away=hinted))
        return self._doubted(self._accept(taken), accepted)

    def _contradicted(self, opinions: list[Hypothesis], accepted: list[Hypothesis]) -> str | None:
        """Why roads that measure and all stand up cannot all be right, or None."""
        heard = {h.method for h in opinions}
        beside = next((h for h in accepted if h.method not in {*heard, SCENE, *_TURN}), None)
        pairs = itertools.combinations([*opinions, *([beside] if beside else [])], 2)
        return next((words for pair in pairs if (words := self._contradiction(*pair))), None)

    def _unsettled(self, alone: Hypothesis, hypotheses: list[Hypothesis]) -> str | None:
        """Why the only one that stands up does not decide what landmarks cannot, or None."""
        if alone.method == SCENE:
            return self._known_twins(hypotheses)
        learned = {REGRESSION: (REGRESSION,), REFINED: (REFINED, REGRESSION)}.get(alone.method)
        if learned is None:
            return None
        torn = [h for h in hypotheses if h.method not in learned and self._objection(_unrivalled(h)) is None]
        return next((objection for h in torn if (objection := self._objection(h))), None)

    def _doubted(self, answer: Localization, accepted: list[Hypothesis]) -> Localization:
        """An answer by matches is degraded where a refined regression stands up and says another place."""
        taken = next(h for h in accepted if h.map_from_camera is answer.map_from_camera)
        refined = next((h for h in accepted if h.method == REFINED), None)
        if taken.method == REFINED or refined is None:
            return answer
        contradiction = self._contradiction(refined, taken)
        return (
            answer if contradiction is None else replace(answer, state=State.DEGRADED, reason=contradiction)
        )

    def _calibration(self, hypothesis: Hypothesis) -> Calibration:
        return self.calibrations.get(hypothesis.method, self.calibration)

    def _support(self, hypothesis: Hypothesis) -> float:
        factor = self.options.relative_factor if hypothesis.method == "relative" else 1.0
        return hypothesis.evidence.inliers / factor

    def _least(self, hypothesis: Hypothesis) -> int:
        least = {SCENE: self.options.min_patches, REGRESSION: self.options.min_references}
        known = least.get(hypothesis.method, self.options.min_inliers)
        if hypothesis.method == REFINED:  # its matches are of the same landmarks: chance gives as many
            known = max(known, self.calibration.min_inliers)
        return max(known, self._calibration(hypothesis).min_inliers)

    def _standing(self, hypothesis: Hypothesis) -> tuple[int, float]:
        """The order in which hypotheses are heard: regression last, refined before it, others by strength."""
        return _TURN.get(hypothesis.method, 0), self._strength(hypothesis)

    def _strength(self, hypothesis: Hypothesis) -> float:
        """Support as a multiple of what rules out chance: what can be compared between roads."""
        return self._support(hypothesis) / self._least(hypothesis)

    def _needed(self, hypothesis: Hypothesis) -> int:
        factor = self.options.relative_factor if hypothesis.method == "relative" else 1.0
        return int(np.ceil(factor * self._least(hypothesis)))

    def _objection(self, hypothesis: Hypothesis) -> str | None:
        """Why this must not be published, or None."""
        evidence, options = hypothesis.evidence, self.options
        if not evidence.scale_known:
            return (
                f"only a direction from one reference ({hypothesis.references[0]}): no landmark "
                "and no second reference gives the scale"
            )
        if evidence.inliers < self._needed(hypothesis):
            if hypothesis.method == REGRESSION:
                return (
                    f"regressed poses from {evidence.inliers} of {evidence.matches} references agree; "
                    f"{self._needed(hypothesis)} are needed"
                )
            return (
                f"{evidence.inliers} of {evidence.matches} matches agree on a pose by "
                f"{hypothesis.method}; {self._needed(hypothesis)} are needed to rule out chance"
            )
        if evidence.spread < options.min_spread:
            return f"the matches cover {evidence.spread:.0%} of the image; too small a part to trust"
        if evidence.rival_place:
            return (
                f"ambiguous: {evidence.inliers} matches speak for the place of {hypothesis.references[0]} "
                f"and {evidence.rival_inliers} for that of {evidence.rival_place}, which looks alike"
            )
        if evidence.rival_inliers > options.max_ambiguity * evidence.inliers:
            return (
                f"ambiguous: {evidence.inliers} matches speak for one place and "
                f"{evidence.rival_inliers} for another that looks alike"
            )
        return evidence.objection or self._untrusted(hypothesis) or self._vagueness(hypothesis, 1.0)

    def _untrusted(self, hypothesis: Hypothesis) -> str | None:
        """Why a regressed pose is not published in this map, or None."""
        right = self._calibration(hypothesis).share_right
        if hypothesis.method != REGRESSION or right >= self.options.least_right:
            return None
        return f"of poses regressed like this one in the map, {right:.0%} were right: too few to trust it"

    def _known_twins(self, hypotheses: list[Hypothesis]) -> str | None:
        """Why scene coordinates alone are not believed where landmarks cannot tell places apart, or None.

        Their network learned from the same look-alikes.
        """
        rivals = [h for h in hypotheses if h.evidence.rival_place]
        return next((self._objection(h) for h in rivals if self._objection(_unrivalled(h)) is None), None)

    def _alternatives(self, hypotheses: list[Hypothesis]) -> tuple[Alternative, ...]:
        """Places that each would be believed if it were not for one that looks alike; none, or several."""
        rivals = [h for h in hypotheses if h.evidence.rival_place]
        alone: list[Hypothesis] = []
        for hypothesis in sorted(rivals, key=self._support, reverse=True):
            elsewhere = all(self._contradiction(hypothesis, other) for other in alone)
            if elsewhere and self._objection(_unrivalled(hypothesis)) is None:
                alone.append(hypothesis)
        if len(alone) < 2:
            return ()
        total = sum(self._support(h) for h in alone)
        return tuple(
            Alternative(h.map_from_camera, self._calibration(h).covariance(h), self._support(h) / total)
            for h in alone
        )

    def contradict(self, first: Hypothesis, second: Hypothesis) -> bool:
        """Whether two poses of one camera cannot both be right."""
        return self._contradiction(first, second) is not None

    def _contradiction(self, scene: Hypothesis, other: Hypothesis) -> str | None:
        """Why two roads that both stand up cannot both be right, or None."""
        options = self.options
        distance, angle = scene.map_from_camera.distance_to(other.map_from_camera)
        covariance = self._calibration(scene).covariance(scene) + self._calibration(other).covariance(other)
        sigma = options.same_sigma * np.sqrt(np.maximum(np.diag(covariance), 0.0))
        depth = max(scene.evidence.depth, other.evidence.depth)
        near = distance <= max(options.same_distance * depth, float(sigma[:3].max()))
        if near and angle <= max(options.same_angle, float(sigma[3:].max())):
            return None
        return (
            f"ambiguous: {other.method} and {scene.method} speak for places {distance:.3g} map units and "
            f"{np.rad2deg(angle):.2g} deg apart"
        )

    def _volume(self, hypothesis: Hypothesis) -> float:
        """Logarithm of the determinant of the calibrated covariance: its order needs no common unit."""
        return float(np.linalg.slogdet(self._calibration(hypothesis).covariance(hypothesis))[1])

    def _vagueness(self, hypothesis: Hypothesis, share: float) -> str | None:
        covariance = self._calibration(hypothesis).covariance(hypothesis)
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

    def _thin(self, hypothesis: Hypothesis) -> str:
        """Why what speaks for a pose that stands up is little; "" where it is not."""
        evidence, calibration = hypothesis.evidence, self._calibration(hypothesis)
        if evidence.hinted_away:
            return f"the hint alone tells this place from that of {evidence.hinted_away}, which looks alike"
        if hypothesis.method == REGRESSION:
            right = calibration.samples and calibration.share_right >= self.options.surely_right
            if right and evidence.inliers >= self.options.surely_agreeing * evidence.matches:
                return ""
            return f"regressed from {evidence.inliers} references, and nothing in the image was measured"
        few = self._support(hypothesis) < 1.5 * self._least(hypothesis)
        return f"only {evidence.inliers} matches agree" if few else ""

    def _accept(self, hypothesis: Hypothesis) -> Localization:
        vague = self._vagueness(hypothesis, 1 / 3)
        calibration = self._calibration(hypothesis)
        reason = vague or self._thin(hypothesis)
        trust = self.options.hint_trust if hypothesis.evidence.hinted_away else 1.0
        return Localization(
            state=State.DEGRADED if reason else State.LOCALIZED,
            reason=reason,
            map_from_camera=hypothesis.map_from_camera,
            covariance=calibration.covariance(hypothesis),
            confidence=trust
            * calibration.confidence(self._support(hypothesis), hypothesis.evidence.rival_inliers),
            method=hypothesis.method,
            inliers=hypothesis.evidence.inliers,
            references=hypothesis.references,
            matches=hypothesis.matches,
        )


def _unrivalled(hypothesis: Hypothesis) -> Hypothesis:
    return replace(hypothesis, evidence=replace(hypothesis.evidence, rival_place="", rival_inliers=0))


def _first(hypotheses: list[Hypothesis], of_scene: bool) -> Hypothesis | None:
    """The first by scene coordinates, or by any other road that measures."""
    return next((h for h in hypotheses if (h.method == SCENE) == of_scene and h.method != REGRESSION), None)
