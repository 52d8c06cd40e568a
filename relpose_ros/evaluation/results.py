"""`results.json`: every figure of one evaluation. docs/results.md defines each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relpose_ros.evaluation import counts, difficulty, false_poses, metrics
from relpose_ros.evaluation.conditions import by_condition
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.evaluation.latency import latency_table
from relpose_ros.evaluation.provenance import hardware, software
from relpose_ros.evaluation.reasons import count_reasons
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.schema import SCHEMA, SCHEMA_VERSION, validate_results
from relpose_ros.geometry.rigid import Rigid


def summarize(
    records: Sequence[QueryRecord],
    map_info: Mapping[str, Any] | None = None,
    *,
    metric: bool | None = None,
    reference_poses: Rigid | None = None,
    source: str = "",
    command: str = "",
    conditions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything that can be counted from the records, in JSON's own types (null, never NaN).

    `map_info` is `Map.info()`; `metric` says whether the map's unit is the metre (default: what
    `map_info["metric"]` says, else yes); `reference_poses` are batched map_from_camera; `conditions`:
    reference -> its condition.
    """
    if metric is None:
        metric = bool((map_info or {}).get("metric", True))
    scores = metrics.score(records)
    extent = false_poses.scene_extent(records, reference_poses)
    limits = false_poses.gross_limits(metric, extent)
    nearest = counts.nearest_references(records, reference_poses, metric, extent)
    results = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": source,
        "command": command,
        "metric": metric,
        "unit": "m" if metric else "map unit",
        "scene_extent": extent,
        **counts.availability(records, scores),
        **counts.accuracy(scores, metric, extent),
        **counts.consistent(scores),
        **counts.falsehoods(scores, limits),
        "confidence_bins": counts.confidence_bins(scores, limits),
        "by_difficulty": difficulty.by_quartile(scores, nearest, counts.shown_gates(metric, extent)),
        "by_condition": by_condition(records, scores, conditions or {}, counts.shown_gates(metric, extent)),
        "latency_ms": latency_table(records),
        "map": counts.about_map(map_info),
        "software": software(),
        "hardware": hardware(),
        "per_query": counts.per_query(records, scores, limits, nearest),
    }
    results["outside_map"]["reasons"] = count_reasons(records, outside=True)
    clean: dict[str, Any] = plain(results)
    validate_results(clean)
    return clean


def write_results(results: Mapping[str, Any], path: Path) -> Path:
    """Write checked, strict JSON, one line a query; whole or not at all.

    Raises RelposeError when the results do not fit the schema or the path cannot be written.
    """
    clean = plain(results)
    validate_results(clean)
    queries = [json.dumps(query, allow_nan=False) for query in clean.pop("per_query")]
    head = json.dumps(clean, indent=1, allow_nan=False).removesuffix("}").rstrip()
    listed = ",\n  ".join(queries)
    return write_text(Path(path), f'{head},\n "per_query": [\n  {listed}\n ]\n}}\n')
