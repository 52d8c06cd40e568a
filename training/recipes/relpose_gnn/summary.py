"""Results of a test of networks over graphs as numbers and as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relpose_ros.evaluation import words
from relpose_ros.evaluation.metrics import RECALL_METRES
from relpose_ros.evaluation.pose_table import format_pose_table, summarise_poses
from relpose_training.recipes.relpose_gnn.coverage import Coverage
from relpose_training.recipes.relpose_gnn.examination import Examined
from relpose_training.recipes.relpose_gnn.published_predictions import Predictions

SHOWN_LEVELS = (0.5, 0.68, 0.9, 0.95)
GATES = {key: RECALL_METRES[key] for key in ("0.05m_5deg", "0.25m_2deg", "0.5m_5deg", "5m_10deg")}

Ways = dict[str, dict[str, Any]]


def summarise(examined: Examined) -> dict[str, Any]:
    """`scenes`: name -> way -> `summarise_poses`; `average`: way -> mean of the scenes' medians, as papers
    have it; `all`: way -> of all queries; `coverage`."""
    scenes = {
        name: _of_rows(examined, examined.scene == number)
        for number, name in enumerate(examined.scenes)
        if (examined.scene == number).any()
    }
    medians = ("median_translation_m", "median_rotation_deg")
    average = {
        way: {key: float(np.mean([ways[way][key] for ways in scenes.values()])) for key in medians}
        for way in examined.poses
    }
    coverage = examined.coverage.to_dict() if examined.coverage else None
    everything = _of_rows(examined, np.ones(len(examined.names), bool))
    return {"scenes": scenes, "average": average, "all": everything, "coverage": coverage}


def _of_rows(examined: Examined, rows: Any) -> Ways:
    out: Ways = {}
    for way in examined.poses:
        far, turned = (values[rows] for values in examined.errors(way))
        out[way] = {"queries": len(far), **summarise_poses(far, turned, GATES)}
    return out


def score_predictions(predictions: Predictions) -> dict[str, Any]:
    """A scene in the published protocol (`Predictions.errors`); `centres` of the cameras themselves."""
    return {
        "queries": len(predictions.names),
        **summarise_poses(*predictions.errors(), GATES),
        "centres": summarise_poses(*predictions.centre_errors(), GATES),
        "extrinsic": predictions.extrinsic,
        "file_name": predictions.file_name,
        "named": predictions.named or None,
    }


def format_examined(examined: Examined, summary: Mapping[str, Any]) -> str:
    """Medians of every scene by every way, shares within gates, coverage."""
    graphs = f"{len(examined.names)} graphs of {len(summary['scenes'])} scenes"
    unit = "m" if examined.metric else "units"
    title = f"{examined.subject} on {examined.data}: {graphs}; median error, {unit} and degrees"
    parts = [
        f"{title}\n{_medians(examined, summary)}",
        format_pose_table(summary["all"], examined.metric),
    ]
    if examined.coverage:
        parts.append(format_coverage(examined.coverage))
    return "\n\n".join(parts)


def _medians(examined: Examined, summary: Mapping[str, Any]) -> str:
    rows = {**summary["scenes"], "mean of scenes": summary["average"], "all queries": summary["all"]}
    cells = [["", "queries", *examined.poses]]
    for name, ways in rows.items():
        queries = next(iter(ways.values())).get("queries", "")
        cells.append([name, str(queries), *(_both(ways[way]) for way in examined.poses)])
    return _aligned(cells)


def _both(row: Mapping[str, Any]) -> str:
    far, turned = row["median_translation_m"], row["median_rotation_deg"]
    return f"{far:.3f} {turned:6.2f}" if math.isfinite(far) and math.isfinite(turned) else words.NONE


def format_coverage(coverage: Coverage) -> str:
    """Text: a row for each kind of covariance."""
    heads = [f"in {100 * level:.0f} %" for level in SHOWN_LEVELS]
    cells = [["said of", *heads, "variances times", "rank correlation"]]
    for name, part in coverage.parts.items():
        shares = [words.percent(part.share(level)) for level in SHOWN_LEVELS]
        cells.append([name, *shares, f"{part.stretch:.3g}", words.number(part.knows)])
    told = f"-ln p of an edge {coverage.nll:.2f}, of the best constant {coverage.nll_constant:.2f}"
    return f"{_aligned(cells)}\n{told}"


def format_published(predictions: Sequence[Predictions]) -> str:
    """Text: scenes in the published protocol, each with the medians that its file's name says."""
    cells = [["published protocol", "queries", "median", "mean", "centres, median", "named"]]
    for one in predictions:
        row = score_predictions(one)
        cells.append(
            [
                one.label,
                str(row["queries"]),
                _pair(row, "median"),
                _pair(row, "mean"),
                _pair(row["centres"], "median"),
                one.named or words.NONE,
            ]
        )
    return _aligned(cells)


def _pair(row: Mapping[str, Any], kind: str) -> str:
    return f"{row[f'{kind}_translation_m']:.2f} m {row[f'{kind}_rotation_deg']:5.1f}°"


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
