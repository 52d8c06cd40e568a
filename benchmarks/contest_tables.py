"""The tables of `benchmarks.contest`, out of `results.json` dictionaries with `profile` and `bare`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks import scene_tables
from benchmarks.report import markdown, number, percent
from benchmarks.scene_tables import RECALLS, Results
from benchmarks.stranger_tables import COUNTED, Trial, counted

KIND = {False: "map as built", True: "map without landmarks"}


def all_tables(results: Sequence[Results], first: str) -> str:
    """Pooled over the scenes, then scene by scene, for each kind of map; `first` is compared with."""
    parts = [pooled(results, first)]
    for bare, kind in KIND.items():
        mine = [r for r in results if r["bare"] == bare]
        ordered = sorted(mine, key=lambda r: str(r["source"]))
        parts += [f"By scene, {kind}:", scene_tables.accuracy(ordered), scene_tables.latency(ordered)]
    return "\n\n".join(parts)


def pooled(results: Sequence[Results], first: str) -> str:
    """All queries of all scenes together; recalls, errors and coverage over metric scenes.

    Errors are the medians of each query's own ratio to its error by `first`, over queries with
    a pose in both: a variant that finds more of the hard ones is not the worse for it.
    """
    header = ["map", "variant", "queries", "available %", *(f"recall {key}" for key in RECALLS)]
    header += ["false poses", "coverage at 95 %", f"error / {first}", "p50 ms", "p95 ms"]
    rows = []
    for bare, name in dict.fromkeys((r["bare"], r["profile"]) for r in results):
        mine = [r for r in results if (r["bare"], r["profile"]) == (bare, name)]
        plain = [r for r in results if (r["bare"], r["profile"]) == (bare, first)]
        rows.append([KIND[bare], name, *_counts(mine), _error_ratio(mine, plain), *_times(mine)])
    return markdown(header, rows)


def strangers(trials: Sequence[tuple[bool, Trial]]) -> str:
    """Poses published for images that the map does not contain, and how near the others came."""
    rows = []
    for bare, name in dict.fromkeys((bare, trial.profile) for bare, trial in trials):
        mine = [t for is_bare, t in trials if (is_bare, t.profile) == (bare, name)]
        support = [t.support for t in mine]
        nearest = [int(np.percentile(support, q)) for q in (50, 99, 100)]
        rows.append([KIND[bare], name, *counted(mine), *nearest])
    return markdown(["map", "variant", *COUNTED, "support: median", "99 %", "largest"], rows)


def _counts(results: Sequence[Results]) -> list[object]:
    queries = sum(r["queries"] for r in results)
    available = sum(r["availability"] * r["queries"] for r in results)
    metric = [r for r in results if r["metric"]]
    asked = sum(r["queries"] for r in metric)
    recalls = [sum(r["recall"][key] * r["queries"] for r in metric) for key in RECALLS]
    covered = [r for r in metric if r["coverage_count"]]
    hits, count = (
        sum(r["coverage_95"] * r["coverage_count"] for r in covered),
        sum(r["coverage_count"] for r in covered),
    )
    return [
        queries,
        percent(available / queries if queries else None),
        *(percent(recall / asked if asked else None) for recall in recalls),
        sum(r["false_poses"] for r in results),
        number(hits / count if count else None, 3),
    ]


def _error_ratio(results: Sequence[Results], plain: Sequence[Results]) -> str:
    """Median of translation and of rotation error over that of the same query in `plain`."""
    before = {(r["source"], q["image"]): q for r in plain for q in r["per_query"]}
    cells = []
    for key in ("translation_error_m", "rotation_error_deg"):
        ratios = [
            q[key] / before[r["source"], q["image"]][key]
            for r in results
            for q in r["per_query"]
            if q.get(key) is not None and before[r["source"], q["image"]].get(key)
        ]
        cells.append(f"{np.median(ratios):.2f}" if ratios else "-")
    return ", ".join(cells)


def _times(results: Sequence[Results]) -> list[str]:
    times = [
        q["latency_ms"]["total"] for r in results for q in r["per_query"] if q["latency_ms"].get("total")
    ]
    return [number(float(np.percentile(times, q))) if times else "-" for q in (50, 95)]
