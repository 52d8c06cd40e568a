"""Results of a test of matchers as numbers and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relpose_ros.evaluation.pose_auc import binned_auc, pose_auc
from relpose_training.recipes.matcher.examination import PairResult

THRESHOLDS = (5.0, 10.0, 20.0)


def summarise(results: Sequence[PairResult]) -> dict[str, Any]:
    """Metrics of one contender: exact AUC of the pose error, the binned one of the older literature, means of
    precision and matching score, medians of matches, iterations and time."""
    errors = np.array([result.error_deg for result in results])
    exact, binned = pose_auc(errors, THRESHOLDS), binned_auc(errors, THRESHOLDS)
    return {
        "pairs": len(results),
        **{f"auc_{t:.0f}": float(v) for t, v in zip(THRESHOLDS, exact, strict=True)},
        **{f"binned_auc_{t:.0f}": float(v) for t, v in zip(THRESHOLDS, binned, strict=True)},
        "precision": float(np.mean([r.precision for r in results])),
        "matching_score": float(np.mean([r.matching_score for r in results])),
        "matches": float(np.median([r.matches for r in results])),
        "iterations": float(np.mean([r.iterations for r in results])),
        "median_ms": 1e3 * float(np.median([r.seconds for r in results])),
        "no_pose": int(np.isinf(errors).sum()),
    }


COLUMNS = {
    "auc@5": ("auc_5", 100),
    "auc@10": ("auc_10", 100),
    "auc@20": ("auc_20", 100),
    "precision": ("precision", 100),
    "score": ("matching_score", 100),
    "matches": ("matches", 1),
    "iterations": ("iterations", 1),
    "ms": ("median_ms", 1),
}
"""Heading -> metric and what it is multiplied by; AUC, precision and score are in percent."""


def format_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Text: a row for each contender."""
    width = max(len(name) for name in rows)
    lines = [" " * width + "".join(f"{heading:>11}" for heading in COLUMNS) + "    no pose"]
    for name, row in rows.items():
        cells = "".join(f"{factor * row[key]:11.1f}" for key, factor in COLUMNS.values())
        lines.append(f"{name:<{width}}{cells}{row['no_pose']:11d}")
    return "\n".join(lines)
