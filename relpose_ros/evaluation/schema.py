"""What `results.json` must hold: a small check, without a schema library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.metrics import RECALL_METRES, RECALL_RELATIVE

SCHEMA = "relpose_ros/results"
SCHEMA_VERSION = 1

NUMBER = (int, float, type(None))
TOP: dict[str, Any] = {
    "schema": str,
    "schema_version": int,
    "created": str,
    "source": str,
    "command": str,
    "metric": bool,
    "unit": str,
    "queries": int,
    "queries_with_truth": int,
    "states": dict,
    "availability": NUMBER,
    "median_translation_m": NUMBER,
    "median_rotation_deg": NUMBER,
    "recall": dict,
    "recall_relative": dict,
    "nees_mean": NUMBER,
    "coverage_95": NUMBER,
    "coverage_95_interval": list,
    "reliability": list,
    "false_poses": int,
    "false_poses_detail": dict,
    "outside_map": dict,
    "by_difficulty": list,
    "by_condition": dict,
    "latency_ms": dict,
    "map": dict,
    "software": dict,
    "hardware": dict,
    "per_query": list,
}
QUERY: dict[str, Any] = {
    "image": str,
    "state": str,
    "reason": str,
    "map_from_camera": (dict, type(None)),
    "covariance": (list, type(None)),
    "confidence": NUMBER,
    "translation_error_m": NUMBER,
    "rotation_error_deg": NUMBER,
    "nees": NUMBER,
    "false_pose": bool,
    "latency_ms": dict,
}


def validate_results(results: Mapping[str, Any]) -> None:
    """Raise RelposeError, naming every problem, unless this is a results.json of our version."""
    if results.get("schema") != SCHEMA or results.get("schema_version") != SCHEMA_VERSION:
        raise RelposeError(
            f"expected results of {SCHEMA} version {SCHEMA_VERSION}, got "
            f"{results.get('schema')!r} version {results.get('schema_version')!r}; evaluate again"
        )
    problems = _types(results, TOP, "")
    if not problems:
        problems = [*_shares(results), *_tables(results), *_queries(results), *_strictness(results)]
    if problems:
        raise RelposeError("results do not fit their schema: " + "; ".join(problems[:10]))


def _types(values: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> list[str]:
    problems = [f"{where}{key} is missing" for key in expected if key not in values]
    for key, kind in expected.items():
        if key in values and (
            not isinstance(values[key], kind) or (kind is not bool and isinstance(values[key], bool))
        ):
            problems.append(f"{where}{key} is {type(values[key]).__name__}")
    return problems


def _shares(results: Mapping[str, Any]) -> list[str]:
    shares = {k: results[k] for k in ("availability", "coverage_95")}
    shares |= {f"recall.{k}": v for k, v in (*results["recall"].items(), *results["recall_relative"].items())}
    missing = [k for k in RECALL_METRES if k not in results["recall"]]
    missing += [k for k in RECALL_RELATIVE if k not in results["recall_relative"]]
    wrong = [k for k, v in shares.items() if v is not None and not 0 <= v <= 1]
    return [f"recall.{k} is missing" for k in missing] + [f"{k} is not in [0, 1]" for k in wrong]


def _tables(results: Mapping[str, Any]) -> list[str]:
    problems = [] if "total" in results["latency_ms"] else ["latency_ms.total is missing"]
    for stage, row in results["latency_ms"].items():
        problems += _types(row, dict.fromkeys(("p50", "p95", "p99"), NUMBER), f"latency_ms.{stage}.")
    wanted = ("bytes", "references", "landmarks", "build_seconds")
    return problems + _types(results["map"], dict.fromkeys(wanted, NUMBER), "map.")


def _queries(results: Mapping[str, Any]) -> list[str]:
    problems = []
    for index, query in enumerate(results["per_query"]):
        problems += _types(query, QUERY, f"per_query[{index}].")
    expected = results["queries"] + (results["outside_map"].get("queries") or 0)
    if len(results["per_query"]) != expected:
        problems.append(f"per_query has {len(results['per_query'])} entries, expected {expected}")
    return problems


def _strictness(results: Mapping[str, Any]) -> list[str]:
    try:
        json.dumps(results, allow_nan=False)
    except (TypeError, ValueError) as error:
        return [f"not strict JSON ({error}); pass it through summarize or write_results"]
    return []
