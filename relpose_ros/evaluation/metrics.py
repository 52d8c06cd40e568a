"""Errors of poses, and what is counted from them. An un-localized query has an infinite error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.consistency import nees
from relpose_ros.evaluation.records import QueryRecord, is_finite
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import State

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

RECALL_METRES = {
    "0.05m_5deg": (0.05, 5.0),
    "0.1m_5deg": (0.1, 5.0),
    "0.25m_2deg": (0.25, 2.0),
    "0.5m_5deg": (0.5, 5.0),
    "5m_10deg": (5.0, 10.0),
}
"""Key -> (metres, degrees). A query counts when both errors are strictly below."""

RECALL_RELATIVE = {"0.2pct_2deg": (0.002, 2.0), "1pct_5deg": (0.01, 5.0), "5pct_10deg": (0.05, 10.0)}
"""Key -> (share of the scene extent, degrees), for maps whose unit is not the metre."""


@dataclass(frozen=True)
class Scores:
    """Records as columns, one entry a record.

    `translation` (map units) and `rotation_deg`: infinite without a (finite) pose, NaN without
    ground truth. `nees`: NaN where it cannot be computed. `published`: a pose came out
    (localized or degraded); `localized`: and the state says localized. `outside`: declared to
    be outside the map.
    """

    translation: Array
    rotation_deg: Array
    nees: Array
    confidence: Array
    published: Mask
    localized: Mask
    truth: Mask
    outside: Mask

    def __len__(self) -> int:
        return len(self.translation)

    @property
    def inside(self) -> Mask:
        """Queries that the map should know."""
        return ~self.outside

    @property
    def scored(self) -> Mask:
        """Queries that the map should know and whose truth is known: the base of every recall."""
        return self.inside & self.truth

    @property
    def judged(self) -> Mask:
        """Scored queries with a pose."""
        return self.scored & self.published

    def __getitem__(self, index: Mask) -> Scores:
        return Scores(**{name: column[index] for name, column in vars(self).items()})


def pose_error(estimate: Rigid, ground_truth: Rigid) -> Array:
    """The twist (6,) from estimate to truth; all infinite when the estimate is not finite."""
    if not is_finite(estimate):
        return np.full(6, math.inf)
    return estimate.error_to(ground_truth)


def score_record(record: QueryRecord) -> tuple[float, float, float]:
    """Translation error (map units), rotation error (degrees) and NEES of one record."""
    answer = record.localization
    if record.ground_truth is None or record.outside_map:
        return math.nan, math.nan, math.nan
    if answer.map_from_camera is None:
        return math.inf, math.inf, math.nan
    error = pose_error(answer.map_from_camera, record.ground_truth)
    distance, angle = np.linalg.norm(error[:3]), np.degrees(np.linalg.norm(error[3:]))
    return float(distance), float(angle), nees(error, answer.covariance)


def score(records: Sequence[QueryRecord]) -> Scores:
    """Score every record."""
    rows = np.array([score_record(r) for r in records], float).reshape(-1, 3)
    published = np.array([r.localization.has_pose for r in records], bool)
    localized = np.array([r.localization.state is State.LOCALIZED for r in records], bool)
    return Scores(
        translation=rows[:, 0],
        rotation_deg=rows[:, 1],
        nees=rows[:, 2],
        confidence=np.array([r.localization.confidence for r in records], float),
        published=published,
        localized=published & localized,
        truth=np.array([r.ground_truth is not None for r in records], bool),
        outside=np.array([r.outside_map for r in records], bool),
    )


def share(mask: Mask) -> float:
    """Share of True in a mask (N,); NaN when it is empty."""
    return float(mask.mean()) if len(mask) else math.nan


def recall(scores: Scores, translation: float, rotation_deg: float) -> float:
    """Share of the scored queries with both errors strictly below; NaN when there are none."""
    s = scores[scores.scored]
    return share((s.translation < translation) & (s.rotation_deg < rotation_deg))


def availability(scores: Scores) -> float:
    """Share of the queries inside the map for which a pose came out; NaN when there are none."""
    return share(scores.published[scores.inside])


def median(values: Array) -> float:
    """Median that knows infinity; NaN when empty. Of an even count: the mean of the middle two."""
    if not len(values):
        return math.nan
    middle = np.sort(values)[[(len(values) - 1) // 2, len(values) // 2]]
    return float(middle[0] if middle[0] == middle[1] else middle.mean())


def rejection_curve(confidence: Array, error: Array, steps: int = 200) -> tuple[Array, Array, Array]:
    """Keep only the most confident: (share kept, median error, 95th percentile), at most `steps` each.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010:
    a useful confidence makes the error fall as fewer are kept.
    """
    ordered = error[np.argsort(-confidence, kind="stable")]
    if not len(ordered):
        return (np.zeros(0),) * 3
    kept = np.unique(np.linspace(1, len(ordered), min(steps, len(ordered))).round().astype(int))
    middle = np.array([median(ordered[:n]) for n in kept])
    high = np.array([np.sort(ordered[:n])[math.ceil(0.95 * n) - 1] for n in kept])
    return kept / len(ordered), middle, high
