"""How far a query is from the nearest reference, and results by quartile of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.consistency import coverage
from relpose_ros.evaluation.metrics import Scores, availability, median, recall
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]

DEGREES_PER_UNIT = 30.0
"""One metre (or a tenth of the extent of a map without metres) is as hard as this angle."""


def view_distance(pose: Rigid, references: Rigid) -> tuple[Array, Array]:
    """Distance (R,) in map units and angle (R,) in degrees from one pose to every reference."""
    positions = references.translation.reshape(-1, 3)
    rotations = references.rotation.reshape(-1, 3, 3)
    distance = np.linalg.norm(positions - pose.translation, axis=1)
    cosine = (np.einsum("rij,ij->r", rotations, pose.rotation) - 1) / 2
    return distance, np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def nearest_reference(records: Sequence[QueryRecord], references: Rigid, unit: float) -> Array:
    """(N, 3) of difficulty, distance and angle to the nearest reference; NaN without truth.

    Difficulty is the least over references of `distance / unit + angle / 30 deg`.
    """
    out = np.full((len(records), 3), math.nan)
    if not references.translation.size:
        return out
    for row, record in zip(out, records, strict=True):
        if record.ground_truth is None or record.outside_map:
            continue
        distance, angle = view_distance(record.ground_truth, references)
        hardness = distance / unit + angle / DEGREES_PER_UNIT
        best = int(np.argmin(hardness))
        row[:] = hardness[best], distance[best], angle[best]
    return out


def quartiles(difficulty: Array) -> NDArray[np.int64]:
    """Quartile 0 (easiest) to 3 of each entry (N,) by rank; -1 where the difficulty is NaN."""
    out = np.full(len(difficulty), -1)
    known = np.flatnonzero(~np.isnan(difficulty))
    ranked = known[np.argsort(difficulty[known], kind="stable")]
    for index, members in enumerate(np.array_split(ranked, 4)):
        out[members] = index
    return out


def by_quartile(scores: Scores, nearest: Array, gates: tuple[float, float]) -> list[dict[str, Any]]:
    """The main figures of each quartile. `gates`: (map units, degrees) of the recall shown."""
    groups = quartiles(nearest[:, 0])
    return [_quartile(scores[groups == q], nearest[groups == q], q, gates) for q in range(4)]


def _quartile(s: Scores, nearest: Array, index: int, gates: tuple[float, float]) -> dict[str, Any]:
    judged = s[s.judged]
    finite = judged.nees[np.isfinite(judged.nees)]
    cover = coverage(judged.nees)
    return {
        "quartile": index + 1,
        "queries": len(s),
        "median_reference_distance_m": median(nearest[:, 1]),
        "median_reference_angle_deg": median(nearest[:, 2]),
        "availability": availability(s),
        "median_translation_m": median(judged.translation),
        "median_rotation_deg": median(judged.rotation_deg),
        "recall": recall(s, *gates),
        "nees_mean": float(finite.mean()) if len(finite) else math.nan,
        "coverage_95": cover.value,
        "coverage_95_interval": list(cover.interval),
    }
