"""Results by condition: of the queries, and of the references that the answers leaned on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relpose_ros.evaluation.consistency import coverage
from relpose_ros.evaluation.metrics import Mask, Scores, availability, median, recall
from relpose_ros.evaluation.records import QueryRecord

UNNAMED = "(unnamed)"
MIXED = " and "


def by_condition(
    records: Sequence[QueryRecord],
    scores: Scores,
    conditions: Mapping[str, str],
    gates: tuple[float, float],
) -> dict[str, list[dict[str, Any]]]:
    """`queries`: a row a condition of queries inside the map; `references`: a row a condition of what poses
    leaned on. `conditions`: reference -> its condition; `gates` (map units, degrees) of the recall.

    A pose leans on all conditions of its references at once: on "day and night" where both took part.
    """
    asked = np.array([r.condition or UNNAMED for r in records], object)
    used = np.array([leaned_on(r, conditions) for r in records], object)
    inside = scores.inside
    queries = [
        {
            "condition": name,
            **_row(scores, inside & (asked == name), gates),
            "answered_by": dict(Counter(used[inside & scores.published & (asked == name)]).most_common()),
        }
        for name in sorted(set(asked[inside]))
    ]
    poses = inside & scores.published
    references = [
        {"condition": name, **_row(scores, poses & (used == name), gates)}
        for name in sorted(set(used[poses]))
    ]
    return {"queries": queries, "references": references}


def leaned_on(record: QueryRecord, conditions: Mapping[str, str]) -> str:
    """The conditions of the references that an answer names, in words."""
    named = {conditions.get(name, "") or UNNAMED for name in record.localization.references}
    return MIXED.join(sorted(named)) or UNNAMED


def _row(scores: Scores, chosen: Mask, gates: tuple[float, float]) -> dict[str, Any]:
    s = scores[chosen]
    judged = s[s.judged]
    cover = coverage(judged.nees)
    return {
        "queries": len(s),
        "availability": availability(s) if len(s) else math.nan,
        "median_translation_m": median(judged.translation),
        "median_rotation_deg": median(judged.rotation_deg),
        "recall": recall(s, *gates),
        "coverage_95": cover.value,
        "coverage_95_interval": list(cover.interval),
    }
