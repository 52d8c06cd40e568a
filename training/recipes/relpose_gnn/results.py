"""What a test of networks over graphs leaves: table.txt, results.json, errors.png."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.evaluation.provenance import command_line, hardware, software
from relpose_training.recipes.relpose_gnn.aggregation import WAYS
from relpose_training.recipes.relpose_gnn.examination import Examined
from relpose_training.recipes.relpose_gnn.plots import plot_tests
from relpose_training.recipes.relpose_gnn.published_predictions import Predictions
from relpose_training.recipes.relpose_gnn.summary import (
    format_examined,
    format_published,
    score_predictions,
    summarise,
)

SCHEMA, VERSION = "relpose_ros/relpose_gnn", 1

DEFINITIONS = {
    **WAYS,
    "translation": "distance of the camera centres; in the published protocol of the stored translations",
    "average": "mean of the scenes' medians",
    "stretch": "what variances would have to be multiplied by for the median squared error to be right",
    "rank_correlation": "Spearman's, of said deviations (translation, rotation) and errors",
    "nll": "mean -ln p of the edges into queries without its constant; nll_constant: of the best constant "
    "pose and deviations, fitted to these very edges",
}


def format_results(tests: Sequence[Examined], published: Sequence[Predictions]) -> str:
    """All tables."""
    parts = [format_examined(examined, summarise(examined)) for examined in tests]
    if published:
        parts.append(format_published(published))
    return "\n\n".join(parts)


def collect(
    head: Mapping[str, Any],
    tests: Sequence[Examined],
    published: Sequence[Sequence[Predictions]],
    files: Mapping[str, Predictions],
) -> dict[str, Any]:
    """The content of results.json. `published`: of each test its scenes; `files`: path -> what is in it."""
    return {
        "schema": SCHEMA,
        "schema_version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "software": software(),
        "hardware": hardware(),
        "definitions": DEFINITIONS,
        **head,
        "tests": [_test(*both) for both in zip(tests, published, strict=True)],
        "predictions": {path: score_predictions(one) for path, one in files.items()},
    }


def _test(examined: Examined, published: Sequence[Predictions]) -> dict[str, Any]:
    return {
        "checkpoint": examined.subject,
        "data": examined.data,
        "metric": examined.metric,
        **examined.about,
        **summarise(examined),
        "published_protocol": {one.label: score_predictions(one) for one in published},
        "queries": _queries(examined),
    }


def write_results(folder: Path, content: Mapping[str, Any], table: str, tests: Sequence[Examined]) -> str:
    """Leave the files; returns a line that names them. Raises RelposeError when they cannot be written."""
    write_text(folder / "results.json", json.dumps(plain(content), allow_nan=False, indent=1))
    write_text(folder / "table.txt", f"{table}\n")
    names = ["table.txt", "results.json"]
    if tests:
        names.append(plot_tests(tests, folder / "errors.png").name)
    return f"{folder}: {', '.join(names)}"


def _queries(examined: Examined) -> list[dict[str, Any]]:
    errors = {way: examined.errors(way) for way in examined.poses}
    return [
        {
            "scene": examined.scenes[examined.scene[row]],
            "image": examined.names[row],
            **{way: [float(far[row]), float(turned[row])] for way, (far, turned) in errors.items()},
        }
        for row in range(len(examined.names))
    ]
