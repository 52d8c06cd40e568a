"""Does a similarity tell right answers from wrong ones? Precision and recall of accepting above a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError

Array = NDArray[np.float64]

DEFINITIONS = {
    "average_precision": "sum over limits of precision x step in recall, recall relative to the right first "
    "answers; no interpolation, equal similarities in one step",
    "auroc": "probability that a right first answer is more similar than a wrong one; ties count half",
    "full_precision_recall": "share of the queries with a right reference that are answered rightly when the "
    "limit lies just above the most similar wrong first answer",
}
"""Estimator of each figure of `judge_confidence`, in words, for the files of results."""


@dataclass(frozen=True)
class Acceptance:
    """What accepting first answers with at least a similarity gives, from the strictest limit to the laxest.

    `limits`, `precision` and `recall` (L,); recall is relative to the queries that have a right reference.
    """

    limits: Array
    precision: Array
    recall: Array


@dataclass(frozen=True)
class Confidence:
    """Figures as DEFINITIONS has them; NaN where they do not exist (no right, or no wrong answers)."""

    average_precision: float
    auroc: float
    full_precision_recall: float
    full_precision_limit: float
    """Similarity of the most similar wrong first answer; NaN without one."""


def acceptance_curve(similarity: ArrayLike, right: ArrayLike, answerable: int) -> Acceptance:
    """Precision and recall for every limit on the similarity (Q,) of first answers, `right` (Q,) or not.

    `answerable`: how many queries have a right reference. Queries that have none take part with their wrong
    answers. Raises ConfigurationError when these do not fit together or are not finite.
    """
    values, truth = _checked(similarity, right, answerable)
    order = np.argsort(-values, kind="stable")
    last_of_equals = np.flatnonzero(np.diff(values[order], append=-np.inf))
    hits = np.cumsum(truth[order])[last_of_equals]
    recall = hits / answerable if answerable else np.full(len(hits), math.nan)
    return Acceptance(values[order][last_of_equals], hits / (last_of_equals + 1), recall)


def judge_confidence(similarity: ArrayLike, right: ArrayLike, answerable: int) -> Confidence:
    """How well the similarity (Q,) of first answers separates the `right` ones (Q,) from the others.

    Arguments and errors as of `acceptance_curve`.
    """
    values, truth = _checked(similarity, right, answerable)
    hits, misses = values[truth], values[~truth]
    limit = float(misses.max()) if len(misses) else math.nan
    sure = int((hits > limit).sum()) if len(misses) else len(hits)
    return Confidence(
        _average_precision(values, truth),
        _auroc(hits, misses),
        sure / answerable if answerable else math.nan,
        limit,
    )


def _average_precision(values: Array, truth: NDArray[np.bool_]) -> float:
    total = int(truth.sum())
    if not total:
        return math.nan
    curve = acceptance_curve(values, truth, total)
    return float((curve.precision * np.diff(curve.recall, prepend=0.0)).sum())


def _auroc(hits: Array, misses: Array) -> float:
    """Mann-Whitney's U, divided by the number of pairs."""
    if not len(hits) or not len(misses):
        return math.nan
    ordered = np.sort(misses)
    below, not_above = (np.searchsorted(ordered, hits, side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(misses)))


def _checked(similarity: ArrayLike, right: ArrayLike, answerable: int) -> tuple[Array, NDArray[np.bool_]]:
    values, truth = np.asarray(similarity, np.float64), np.asarray(right, np.bool_)
    if values.ndim != 1 or values.shape != truth.shape or not int(truth.sum()) <= answerable <= len(values):
        raise ConfigurationError(
            f"expected similarities (Q,), as many truths, and at least as many answerable queries as right "
            f"answers, got {values.shape}, {truth.shape}, {answerable} and {int(truth.sum())}"
        )
    if not np.all(np.isfinite(values)):
        raise ConfigurationError("expected finite similarities; check the descriptors")
    return values, truth
