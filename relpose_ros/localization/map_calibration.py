"""A map's covariance and confidence, learned from posed images that it was not built from.

Every figure of what a fit is worth is cross-fitted: each image judged by a fit that did not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros import __version__
from relpose_ros.errors import DatasetError
from relpose_ros.localization.calibration import Calibration, Sample, fit_calibration
from relpose_ros.localization.confidence import Trial, confidences, fit_confidence, lacking, log_loss
from relpose_ros.localization.cross_fit import cross_fitted
from relpose_ros.localization.held_out import Found
from relpose_ros.localization.judgement import Judgement, deviation, inside, sharper, surer
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.notes import CALIBRATION, without_note
from relpose_ros.maps.stored_index import inherit_index

Array = NDArray[np.float64]

MIN_SAMPLES = 20
"""Right poses that it takes: four numbers are fitted, and each fifth of them is left out once."""

_CHANCE_MARGIN = 1.5


@dataclass(frozen=True)
class MapCalibration:
    """`calibration`: what the map gets; of `before` it has what the fit would not have made better.

    `tried` images, `published` poses by enough support, `wrong` ones among them. `covariance` and
    `confidence` say in words what was done about each; `notes`: in what the map is less careful than before.
    """

    calibration: Calibration
    before: Calibration
    tried: int
    published: int
    wrong: int
    view_change: float
    judgement: Judgement
    covariance: str
    confidence: str
    notes: tuple[str, ...]

    def evidence(self, source: str, outside: int, profile: str) -> dict[str, Any]:
        """What the map keeps of how it was calibrated, in plain types; `before` can be put back."""
        before, after = self.judgement.coverage
        return {
            "source": source,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": f"relpose_ros {__version__}",
            "profile": profile,
            "images": self.tried,
            "images_of_other_places": outside,
            "localized": self.published,
            "wrong": self.wrong,
            "median_view_change": round(self.view_change, 3),
            "coverage_95_before": round(before, 4),
            "coverage_95_after": round(after, 4),
            "covariance": self.covariance,
            "confidence": self.confidence,
            "less_careful": list(self.notes),
            "before": self.before.to_dict(),
        }


def store(map_: Map, result: MapCalibration, evidence: dict[str, Any], out: Path) -> Map:
    """Write the map with its calibration and the evidence to `out`, which may be its own file.

    The retrieval index stays; a note that an earlier calibration was lost goes.
    """
    values = {
        **map_.calibration,
        **result.calibration.to_dict(),
        "tried": result.tried,
        "wrong": result.wrong,
        "evidence": evidence,
    }
    calibrated = replace(map_, calibration=values, provenance=without_note(map_.provenance, CALIBRATION))
    inherit_index(calibrated, map_)
    return calibrated.save(out)


def calibrate_map(
    before: Calibration, found: Sequence[Found], tried: int, outside: Sequence[Found] = ()
) -> MapCalibration:
    """Fit a calibration to what was found in `tried` held-out images, and in images of other places.

    `min_inliers` is never lowered; what was found `outside` may raise it. Raises DatasetError where fewer
    than `MIN_SAMPLES` poses are right.
    """
    least = max([before.min_inliers, *(int(np.ceil(_CHANCE_MARGIN * f.support)) for f in outside)])
    published = [f for f in found if f.support >= least]
    right = [f.sample for f in published if f.sample is not None and f.right]
    if len(right) < MIN_SAMPLES:
        raise DatasetError(_too_few(len(right), len(published), tried, least))
    start = replace(before, min_inliers=least, availability=len(published) / tried)
    fitted, after, covariance = _covariance(start, right)
    trials = [f.trial for f in (*found, *outside)]
    fitted, confident, confidence = _confidence(fitted, trials, (len(found), len(outside)))
    shown = np.array([f.support >= least for f in (*found, *outside)])
    old = confidences([before] * len(trials), trials)
    judgement = Judgement(
        nees_before=np.array([before.nees(s) for s in right]),
        nees_after=np.array([c.nees(s) for c, s in zip(after, right, strict=True)]),
        confidence_before=old[shown],
        confidence_after=confident[shown],
        right=np.array([t.right for t in trials])[shown],
    )
    fitted = replace(fitted, samples=len(right), coverage_95=judgement.coverage[1])
    return MapCalibration(
        calibration=fitted,
        before=before,
        tried=tried,
        published=len(published),
        wrong=len(published) - len(right),
        view_change=float(np.median([s.hypothesis.evidence.view_change for s in right])),
        judgement=judgement,
        covariance=covariance,
        confidence=confidence,
        notes=(*sharper(before, fitted, right), *surer(judgement)),
    )


def _covariance(before: Calibration, right: Sequence[Sample]) -> tuple[Calibration, list[Calibration], str]:
    """The calibration to keep, the one that judges each sample, and what was decided, in words.

    A fit is kept where it comes nearer to the diagonal, and where its 95 % region does not hold less than
    before, unless it still holds 95 %.
    """
    crossed = [_with_covariance(before, fit) for fit in cross_fitted(right, fit_calibration)]
    old = np.array([before.nees(s) for s in right])
    new = np.array([c.nees(s) for c, s in zip(crossed, right, strict=True)])
    off = f"{deviation(old):.1%} -> {deviation(new):.1%} off the diagonal"
    held = f"{inside(old):.1%} -> {inside(new):.1%} in the 95 % region"
    if deviation(new) >= deviation(old) or inside(new) < min(inside(old), 0.95):
        return (
            before,
            [before] * len(right),
            f"kept: a fit to {len(right)} poses is no better ({off}, {held})",
        )
    fitted = _with_covariance(before, fit_calibration(right))
    return fitted, crossed, f"fitted to {len(right)} poses ({off}, {held})"


def _with_covariance(calibration: Calibration, fit: Calibration) -> Calibration:
    return replace(
        calibration,
        scale=fit.scale,
        translation_floor=fit.translation_floor,
        rotation_floor=fit.rotation_floor,
        view_slope=fit.view_slope,
    )


def _confidence(
    before: Calibration, trials: Sequence[Trial], runs: tuple[int, int]
) -> tuple[Calibration, Array, str]:
    """The calibration to keep, a confidence (N,) for each trial by one that did not see it, and words."""
    old = confidences([before] * len(trials), trials)
    why = lacking(trials)
    if why:
        return before, old, f"not fitted to a frequency: there are {why}"
    neutral = replace(before, confidence_offset=0.0, confidence_slope=1.0, share_right=1.0)
    crossed = cross_fitted(trials, lambda others: fit_confidence(neutral, others), runs)
    new = confidences(crossed, trials)
    shown = np.array([t.support >= before.min_inliers for t in trials])
    right = np.array([t.right for t in trials])
    losses = log_loss(old[shown], right[shown]), log_loss(new[shown], right[shown])
    change = f"log loss {losses[0]:.3f} -> {losses[1]:.3f}"
    if losses[1] >= losses[0]:
        return before, old, f"kept: a fit to {len(trials)} poses would not be better ({change})"
    words = (
        f"fitted to how often {len(trials)} poses are right, {int((~right).sum())} of them wrong ({change})"
    )
    return fit_confidence(neutral, trials), new, words


def _too_few(right: int, published: int, tried: int, least: int) -> str:
    text = (
        f"expected at least {MIN_SAMPLES} images that the map localizes rightly, got {right} of {tried} "
        f"({published} have the {least} inliers that rule out chance, {published - right} of them are wrong)"
    )
    if published - right > right:
        return f"{text}: are their poses in the map's frame and unit?"
    return f"{text}: give more images of the map's place"
