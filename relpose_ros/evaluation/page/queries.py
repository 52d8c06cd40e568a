"""Every query in a table, folded away."""

from __future__ import annotations

from html import escape
from typing import Any

from relpose_ros.evaluation import words
from relpose_ros.evaluation.page.gallery import tag
from relpose_ros.evaluation.plots.data import ReportData

MAX_ROWS = 500
HEADS = ("query", "state", "translation", "rotation", "NEES", "confidence", "inliers", "latency", "reason")


def query_table(data: ReportData) -> str:
    """At most `MAX_ROWS` queries in order; the rest is in results.json."""
    queries = data.results["per_query"]
    if not queries:
        return ""
    rows = "".join(_row(data, i) for i in range(min(len(queries), MAX_ROWS)))
    heads = "".join(f"<th>{h}</th>" for h in HEADS)
    more = len(queries) - MAX_ROWS
    note = f'<p class="sub">{more} more are in results.json.</p>' if more > 0 else ""
    return (
        f"<h2>Every query</h2><details><summary>Show {min(len(queries), MAX_ROWS)} queries</summary>"
        f'<div class="card scroll"><table><tr>{heads}</tr>{rows}</table></div>{note}</details>'
    )


def _row(data: ReportData, index: int) -> str:
    query: dict[str, Any] = data.results["per_query"][index]
    cells = (
        words.length(query["translation_error_m"], data.metric),
        words.degrees(query["rotation_error_deg"]),
        words.number(query["nees"], 1),
        words.number(query["confidence"]),
        str(query["inliers"]),
        words.milliseconds(query["latency_ms"].get("total")),
    )
    numbers = "".join(f'<td class="num">{escape(cell)}</td>' for cell in cells)
    name, reason = escape(query["image"]), escape(query["reason"])
    return f'<tr><td>{name}</td><td class="num">{tag(data, index)}</td>{numbers}<td>{reason}</td></tr>'
