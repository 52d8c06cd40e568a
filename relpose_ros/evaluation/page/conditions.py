"""Tables by condition; nothing where there is only one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from relpose_ros.evaluation import words

HEADS = ("condition", "queries", "availability", "recall", "median error", "coverage at 95 %")


def condition_tables(results: Mapping[str, Any]) -> str:
    """Of the queries, and of the references that poses leaned on."""
    queries, references = results["by_condition"]["queries"], results["by_condition"]["references"]
    if len(queries) < 2 and len(references) < 2:
        return ""
    of_queries = _table((*HEADS, "answered by references of"), queries, results["metric"])
    of_references = _table(HEADS, references, results["metric"])
    return (
        "<h2>By condition</h2>"
        f'<div class="card scroll"><h3>Of the queries</h3>{of_queries}</div>'
        f'<div class="card scroll"><h3>Of the references that poses leaned on</h3>{of_references}</div>'
    )


def _table(heads: Sequence[str], rows: list[dict[str, Any]], metric: bool) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    return f"<table><tr>{head}</tr>{''.join(_row(row, metric) for row in rows)}</table>"


def _row(row: Mapping[str, Any], metric: bool) -> str:
    error = (
        f"{words.length(row['median_translation_m'], metric)}, {words.degrees(row['median_rotation_deg'])}"
    )
    cells = [
        str(row["queries"]),
        words.percent(row["availability"]),
        words.percent(row["recall"]),
        error,
        f"{words.percent(row['coverage_95'])} ({words.interval(row['coverage_95_interval'])})",
    ]
    numbers = "".join(f'<td class="num">{escape(cell)}</td>' for cell in cells)
    by = f"<td>{escape(words.reasons(row['answered_by']))}</td>" if "answered_by" in row else ""
    return f"<tr><td>{escape(row['condition'])}</td>{numbers}{by}</tr>"
