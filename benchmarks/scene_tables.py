"""The tables of `benchmarks scenes`, out of `results.json` dictionaries that also hold `profile`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.report import markdown, number, percent
from relpose_ros.evaluation.consistency import Share

Results = dict[str, Any]

RECALLS = ("0.05m_5deg", "0.1m_5deg", "0.25m_2deg", "0.5m_5deg")
STAGES = ("extract", "describe", "retrieve", "match", "prune", "solve", "refine", "relative")


def all_tables(results: Sequence[Results]) -> str:
    """Accuracy, covariance, time and size, one below the other."""
    parts = (accuracy(results), coverage(results), latency(results), maps(results))
    return "\n\n".join(parts)


def one_line(result: Results) -> str:
    """How it went, for watching the run."""
    return (
        f"availability {percent(result['availability'])} %, {median_error(result)}, "
        f"p50 {number(result['latency_ms']['total']['p50'])} ms"
    )


def accuracy(results: Sequence[Results]) -> str:
    """Medians are over queries with a pose, recalls over all queries."""
    header = ["scene", "profile", "references", "queries", "available %", "median error"]
    header += [_gate(key) for key in RECALLS] + ["false poses"]
    rows = [
        [
            r["source"],
            r["profile"],
            r["map"]["references"],
            r["queries"],
            percent(r["availability"]),
            median_error(r),
            *(percent(r["recall"][key]) for key in RECALLS),
            r["false_poses"],
        ]
        for r in results
    ]
    return markdown(header, rows)


def median_error(result: Results) -> str:
    """Centimetres (or per mille of the scene's extent) and degrees."""
    if result["median_rotation_deg"] is None:
        return "-"
    if result["metric"]:
        length = f"{100 * result['median_translation_m']:.2f} cm"
    else:
        length = f"{1000 * result['median_translation_relative']:.2f} ‰ of extent"
    return f"{length}, {result['median_rotation_deg']:.3f}°"


def coverage(results: Sequence[Results]) -> str:
    """Share of poses whose NEES is below the 95 % quantile, by scene and over all metric ones."""
    rows = [[r["source"], r["profile"], *_share(_covered([r])), number(r["nees_median"], 2)] for r in results]
    for profile in dict.fromkeys(r["profile"] for r in results):
        pooled = _covered([r for r in results if r["profile"] == profile and r["metric"]])
        rows.append(["**all metric scenes**", profile, *_share(pooled), ""])
    header = ["scene", "profile", "NEES coverage at 95 %", "Wilson interval", "poses", "median NEES (5.35)"]
    return markdown(header, rows)


def _covered(results: Sequence[Results]) -> Share:
    counted = [r for r in results if r["coverage_count"]]
    hits = sum(round(r["coverage_95"] * r["coverage_count"]) for r in counted)
    return Share(hits, sum(r["coverage_count"] for r in counted))


def _share(share: Share) -> list[object]:
    if not share.count:
        return ["-", "-", 0]
    low, high = share.interval
    return [f"{share.value:.3f}", f"{low:.3f} to {high:.3f}", share.count]


def latency(results: Sequence[Results]) -> str:
    """Milliseconds, p50/p95, over the frames in which a stage ran."""
    pruned = any("prune" in r["latency_ms"] for r in results)
    stages = [stage for stage in STAGES if stage != "prune" or pruned]
    header = ["scene", "profile", "total", *stages, "total/extract"]
    rows = [
        [r["source"], r["profile"], *(_percentiles(r, s) for s in ("total", *stages)), _overhead(r)]
        for r in results
    ]
    return f"Milliseconds, p50/p95:\n\n{markdown(header, rows)}"


def _percentiles(result: Results, stage: str) -> str:
    times = result["latency_ms"].get(stage)
    return f"{number(times['p50'])}/{number(times['p95'])}" if times else "-"


def _overhead(result: Results) -> str:
    """Median over the queries of the whole time over that of feature extraction alone."""
    times = [q["latency_ms"] for q in result["per_query"]]
    ratios = [t["total"] / t["extract"] for t in times if t.get("extract")]
    return f"{np.median(ratios):.2f}" if ratios else "-"


def maps(results: Sequence[Results]) -> str:
    """Size and build time; the map is the same for all profiles."""
    header = ["scene", "references", "landmarks", "kB", "kB per reference", "build s", "s per reference"]
    rows = []
    for info in {r["source"]: r["map"] for r in results}.values():
        count = info["references"]
        size, seconds = info["bytes"] / 1e3, info["build_seconds"]
        rows.append(
            [
                info["name"], count, info["landmarks"], number(size, 0), number(size / count),
                number(seconds), number(seconds / count, 2),
            ]
        )  # fmt: skip
    return markdown(header, rows)


def _gate(key: str) -> str:
    metres, degrees = key.removesuffix("deg").split("m_")
    return f"{100 * float(metres):g} cm, {degrees}°"
