"""The blocks that `results.json` is put together from. docs/results.md defines each figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation import consistency, difficulty, false_poses, metrics
from relpose_ros.evaluation.metrics import Scores
from relpose_ros.evaluation.reasons import count_reasons
from relpose_ros.evaluation.records import QueryRecord, is_finite
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import State

CONFIDENCE_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
RECALL_SHOWN = {True: "0.1m_5deg", False: "1pct_5deg"}
"""The recall that stands for all where there is room for one: metric maps, others."""


def shown_gates(metric: bool, extent: float) -> tuple[float, float]:
    """The gates (map units, degrees) of `RECALL_SHOWN`."""
    if metric:
        return metrics.RECALL_METRES[RECALL_SHOWN[True]]
    relative, degrees = metrics.RECALL_RELATIVE[RECALL_SHOWN[False]]
    return relative * extent, degrees


def nearest_references(
    records: Sequence[QueryRecord], references: Rigid | None, metric: bool, extent: float
) -> NDArray[np.float64]:
    """(N, 3) of difficulty, distance and angle to the nearest reference; NaN where unknown."""
    if references is None:
        return np.full((len(records), 3), math.nan)
    unit = 1.0 if metric else 0.1 * extent
    return difficulty.nearest_reference(records, references, unit if math.isfinite(unit) else 1.0)


def availability(records: Sequence[QueryRecord], scores: Scores) -> dict[str, Any]:
    """How many queries, how many got a pose, and why the others did not."""
    inside = [r for r in records if not r.outside_map]
    states = {state.value: sum(r.localization.state is state for r in inside) for state in State}
    published = consistency.Share(int((scores.published & scores.inside).sum()), len(inside))
    return {
        "queries": len(inside),
        "queries_with_truth": int(scores.scored.sum()),
        "states": states,
        "availability": published.value,
        "availability_interval": published.interval,
        "unlocalized_reasons": count_reasons(records),
    }


def accuracy(scores: Scores, metric: bool, extent: float) -> dict[str, Any]:
    """Medians and recalls."""
    every, judged = scores[scores.scored], scores[scores.judged]
    absolute = {k: metrics.recall(scores, *g) if metric else None for k, g in metrics.RECALL_METRES.items()}
    relative = {k: metrics.recall(scores, s * extent, d) for k, (s, d) in metrics.RECALL_RELATIVE.items()}
    known = math.isfinite(extent)
    return {
        "median_translation_m": metrics.median(judged.translation),
        "median_rotation_deg": metrics.median(judged.rotation_deg),
        "median_translation_all_m": metrics.median(every.translation),
        "median_rotation_all_deg": metrics.median(every.rotation_deg),
        "median_translation_relative": metrics.median(judged.translation) / extent,
        "recall": absolute,
        "recall_relative": relative if known else dict.fromkeys(relative),
    }


def consistent(scores: Scores) -> dict[str, Any]:
    """NEES and coverage of the published poses."""
    values = scores.nees[scores.judged]
    finite = values[np.isfinite(values)]
    cover = consistency.coverage(values)
    return {
        "nees_mean": float(finite.mean()) if len(finite) else None,
        "nees_median": metrics.median(values[~np.isnan(values)]),
        "coverage_95": cover.value,
        "coverage_95_interval": cover.interval,
        "coverage_count": cover.count,
        "reliability": consistency.reliability(values),
        "invalid_covariances": int(np.isinf(values).sum()),
        "inconsistent_poses": int(consistency.inconsistent(values).sum()),
    }


def confidence_bins(scores: Scores, limits: false_poses.GrossLimits) -> list[dict[str, Any]]:
    """Does confidence mean what it says? Share of right poses per bin of confidence.

    Right: published, inside the map and not grossly wrong. Poses without truth are left out.
    """
    known = scores.judged | (scores.outside & scores.published)
    wrong = false_poses.grossly_wrong(scores, limits) | scores.outside
    bins = np.clip(np.digitize(scores.confidence, CONFIDENCE_EDGES) - 1, 0, len(CONFIDENCE_EDGES) - 2)
    rows = []
    for index, (low, high) in enumerate(pairwise(CONFIDENCE_EDGES)):
        members = known & (bins == index)
        right = consistency.Share(int((members & ~wrong).sum()), int(members.sum()))
        mean = float(scores.confidence[members].mean()) if members.any() else math.nan
        rows.append({"from": low, "to": high, "mean_confidence": mean, **right.to_json()})
    return rows


def falsehoods(scores: Scores, limits: false_poses.GrossLimits) -> dict[str, Any]:
    """False poses, and what was published outside the map."""
    gross = false_poses.grossly_wrong(scores, limits)
    outside = consistency.Share(int((scores.outside & scores.published).sum()), int(scores.outside.sum()))
    return {
        "false_poses": int(false_poses.false_poses(scores, limits).sum()),
        "false_poses_detail": {
            "gross_localized": int((gross & scores.localized).sum()),
            "gross_degraded": int((gross & ~scores.localized).sum()),
            "outside_map": outside.hits,
            "limit_translation_m": limits.translation,
            "limit_rotation_deg": limits.rotation_deg,
        },
        "outside_map": {
            "queries": outside.count,
            "false_publications": outside.hits,
            "share": outside.value,
            "interval": outside.interval,
        },
    }


def about_map(info: Mapping[str, Any] | None) -> dict[str, Any]:
    """`Map.info()`, with the keys that are always there."""
    return {**dict.fromkeys(("name", "bytes", "references", "landmarks", "build_seconds")), **(info or {})}


def per_query(
    records: Sequence[QueryRecord],
    scores: Scores,
    limits: false_poses.GrossLimits,
    nearest: NDArray[np.float64],
) -> list[dict[str, Any]]:
    """One row a record: its answer (`Localization.to_json`), its truth and its errors."""
    false = false_poses.false_poses(scores, limits)
    return [
        {
            **_answer(record),
            "image": record.name,
            "stamp": record.stamp,
            "outside_map": record.outside_map,
            "condition": record.condition,
            "ground_truth": pose_json(record.ground_truth),
            "translation_error_m": scores.translation[i],
            "rotation_error_deg": scores.rotation_deg[i],
            "nees": scores.nees[i],
            "false_pose": bool(false[i]),
            "reference_distance_m": nearest[i, 1],
            "reference_angle_deg": nearest[i, 2],
        }
        for i, record in enumerate(records)
    ]


def _answer(record: QueryRecord) -> dict[str, Any]:
    """`Localization.to_json`; a pose that is not finite has no quaternion and becomes null."""
    answer = record.localization
    pose = answer.map_from_camera
    if pose is not None and not is_finite(pose):
        answer = replace(answer, map_from_camera=None)
    return answer.to_json()


def pose_json(pose: Rigid | None) -> dict[str, Any] | None:
    """`translation`, `rotation_xyzw` of a pose."""
    if pose is None:
        return None
    return {"translation": pose.translation, "rotation_xyzw": pose.rotation_xyzw}
