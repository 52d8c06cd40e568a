"""Numbers of tested pairs, for all of them, for trained and new places, and for every sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.pair_counts import pose_accuracy
from relpose_ros.evaluation.pose_auc import binned_auc, pose_auc
from relpose_training.recipes.one_to_one.examination import PairResult
from relpose_training.recipes.one_to_one.judgement import NO_POSE

THRESHOLDS = (5.0, 10.0, 20.0)
"""Degrees."""

Group = dict[str, Any]


def pose_metrics(errors: NDArray[np.floating[Any]]) -> dict[str, float]:
    """`accuracy_5` (share of pairs up to 5 degrees; the one-to-one framework prints it as mAP), `auc_5`
    (exact area), and so on for 10 and 20.

    `errors` (M,) degrees: of a pose, the greater of the angles of rotation and direction.
    """
    wide = np.asarray(errors, np.float64)
    named = (("accuracy", pose_accuracy(wide, THRESHOLDS)), ("auc", pose_auc(wide, THRESHOLDS)))
    return {
        f"{name}_{threshold:.0f}": float(value)
        for name, values in named
        for threshold, value in zip(THRESHOLDS, values, strict=True)
    }


def label_metrics(hits: float, called: float, right: float) -> dict[str, float]:
    """`precision`, `recall` and `f1` of `called` inliers, of which `hits` are among the `right` ones.

    0 where there is nothing to divide by.
    """
    return {
        "precision": _share(hits, called),
        "recall": _share(hits, right),
        "f1": _share(2 * hits, called + right),
    }


def group_results(results: Sequence[PairResult]) -> dict[str, list[PairResult]]:
    """`all`, `in-sample` and `out-of-sample` (places that were and were not trained on) and each sequence.

    Groups without pairs are left out.
    """
    groups = {
        "all": list(results),
        "in-sample": [r for r in results if r.trained],
        "out-of-sample": [r for r in results if not r.trained],
    }
    for name in sorted({r.sequence for r in results}):
        groups[f"sequence {name}"] = [r for r in results if r.sequence == name]
    return {name: members for name, members in groups.items() if members}


def summarise_group(results: Sequence[PairResult]) -> Group:
    """Labels and poses of a group: JSON values."""
    hits, called, right, count = (
        sum(getattr(r, name) for r in results) for name in ("hits", "called", "right", "count")
    )
    return {
        "pairs": len(results),
        "labels": {**label_metrics(hits, called, right), "inliers": _share(right, count)},
        "network_ms": 1000 * float(np.median([r.seconds for r in results])),
        "methods": {
            method: summarise_method(np.array([r.errors[method] for r in results]))
            for method in results[0].errors
        },
    }


def summarise_method(errors: NDArray[np.float64]) -> Mapping[str, Any]:
    """Metrics of errors (M, 2) of rotation and direction, degrees.

    `oanet_map_*` is the mean of the accuracies at 5, 10, ... degrees, which OANet and its successors report.
    """
    greater = errors.max(axis=1)
    older = {
        f"oanet_map_{t:.0f}": float(v)
        for t, v in zip(THRESHOLDS, binned_auc(greater, THRESHOLDS), strict=True)
    }
    return {
        **pose_metrics(greater),
        **older,
        "rotation": pose_metrics(errors[:, 0]),
        "translation": pose_metrics(errors[:, 1]),
        "median_rotation_deg": float(np.median(errors[:, 0])),
        "median_translation_deg": float(np.median(errors[:, 1])),
        "no_pose": int((greater >= NO_POSE).sum()),
    }


def format_tables(groups: Mapping[str, Group]) -> str:
    """Text: a table for each group, a row for each method, percent."""
    return "\n\n".join(_table(name, group) for name, group in groups.items())


COLUMNS = {
    "acc@5": "accuracy_5",
    "@10": "accuracy_10",
    "@20": "accuracy_20",
    "auc@5": "auc_5",
    "auc@10": "auc_10",
    "auc@20": "auc_20",
    "mAP10": "oanet_map_10",
    "mAP20": "oanet_map_20",
}
"""Heading -> metric. OANet's mAP5 is acc@5."""


def _table(name: str, group: Group) -> str:
    labels = {key: f"{100 * value:.1f} %" for key, value in group["labels"].items()}
    words = ", ".join(f"{key} {value}" for key, value in labels.items())
    width = max(len(method) for method in group["methods"])
    lines = [
        f"{name}: {group['pairs']} pairs; labels: {words}; network {group['network_ms']:.1f} ms",
        " " * width + "".join(f"{heading:>8}" for heading in COLUMNS) + "  no pose",
    ]
    for method, metrics in group["methods"].items():
        cells = "".join(f"{100 * metrics[key]:8.1f}" for key in COLUMNS.values())
        lines.append(f"{method:<{width}}{cells}{metrics['no_pose']:9d}")
    return "\n".join(lines)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
