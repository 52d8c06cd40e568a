"""The results as a table for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from relpose_ros.evaluation import words

Row = tuple[str, str]
REASONS = 3
"""Of the reasons for having no pose, so many are shown."""


def format_table(results: Mapping[str, Any]) -> str:
    """Plain text, two columns, then latency by stage. Takes what `summarize` returns."""
    rows = [*_accuracy(results), *_conditions(results), *_trust(results), *_map(results)]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(width)}  {value}" for name, value in rows]
    return "\n".join([*lines, "", *_latency(results)])


def _accuracy(r: Mapping[str, Any]) -> list[Row]:
    metric, states = r["metric"], r["states"]
    rows = [
        ("queries", f"{r['queries']} ({r['queries_with_truth']} with ground truth)"),
        ("availability", f"{words.percent(r['availability'])} ({states['degraded']} degraded)"),
        *_reasons("no pose", r["unlocalized_reasons"]),
        ("median translation", words.length(r["median_translation_m"], metric)),
        ("median rotation", words.degrees(r["median_rotation_deg"])),
    ]
    recalls = words.shown_recall(r)
    return rows + [(f"recall {words.gate(k)}", words.percent(v)) for k, v in recalls.items()]


def _conditions(r: Mapping[str, Any]) -> list[Row]:
    """A row for each condition of queries; none where there is only one."""
    rows = r["by_condition"]["queries"]
    return [
        (
            f"  {row['condition']}",
            f"{row['queries']} queries, {words.percent(row['availability'])} with a pose, recall "
            f"{words.percent(row['recall'])}, answered by {words.reasons(row['answered_by']) or words.NONE}",
        )
        for row in (rows if len(rows) > 1 else ())
    ]


def _reasons(name: str, counts: Mapping[str, int]) -> list[Row]:
    """A row for each of the most frequent reasons; cut to what a terminal shows."""
    most = list(counts.items())[:REASONS]
    return [(name, f"{n} x  {textwrap.shorten(reason, 84, placeholder=' ...')}") for reason, n in most]


def _trust(r: Mapping[str, Any]) -> list[Row]:
    cover = f"{words.percent(r['coverage_95'])} ({words.interval(r['coverage_95_interval'])})"
    rows = [
        ("NEES mean (6 is right)", words.number(r["nees_mean"])),
        ("NEES coverage at 95 %", cover),
        ("false poses", str(r["false_poses"])),
    ]
    outside = r["outside_map"]
    if outside["queries"]:
        text = f"{outside['false_publications']} of {outside['queries']}"
        rows.append(("published outside the map", text))
        rows += _reasons("no pose outside", outside["reasons"])
    return rows


def _map(r: Mapping[str, Any]) -> list[Row]:
    info = r["map"]
    if info["references"] is None:
        return []
    seconds = info["build_seconds"]
    built = "" if seconds is None else f", built in {seconds:.1f} s"
    text = f"{info['references']} references, {info['landmarks'] or 0} landmarks, {words.size(info['bytes'])}"
    return [("map", text + built)]


def _latency(r: Mapping[str, Any]) -> list[str]:
    stages = r["latency_ms"]
    width = max(len("latency [ms]"), *(len(stage) for stage in stages))
    lines = [f"{'latency [ms]'.ljust(width)}  {'p50':>8}  {'p95':>8}  {'p99':>8}"]
    for stage in [*(s for s in stages if s != "total"), "total"]:
        row = [words.number(stages[stage][p], 1) for p in ("p50", "p95", "p99")]
        lines.append(f"{stage.ljust(width)}  " + "  ".join(f"{cell:>8}" for cell in row))
    return lines
