"""When there was a pose and when there was none, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.data import ReportData
from relpose_ros.evaluation.reasons import generic
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.types import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_REASONS = 8
OTHER = "other reasons"


def rows(data: ReportData) -> tuple[list[tuple[str, str, int]], NDArray[np.int64]]:
    """Rows of the timeline (short label, meaning, count), and the row of each query inside (N,)."""
    reasons = list(data.results["unlocalized_reasons"])[:MAX_REASONS]
    meanings = ["localized", "degraded", *reasons, OTHER]
    labels = ["localized", "degraded", *(f"reason {chr(65 + i)}" for i in range(len(reasons))), "other"]
    where = np.array([meanings.index(_meaning(r, meanings)) for r in inside(data)], int)
    counts = np.bincount(where, minlength=len(meanings))
    used = [i for i in range(len(meanings)) if counts[i]]
    compact = np.array([used.index(i) for i in where], int)
    return [(labels[i], meanings[i], int(counts[i])) for i in used], compact


def inside(data: ReportData) -> list[QueryRecord]:
    """The queries that the map should know: availability is about these."""
    return [r for r in data.records if not r.outside_map]


def _meaning(record: QueryRecord, meanings: list[str]) -> str:
    localization = record.localization
    if localization.has_pose:
        return "localized" if localization.state is State.LOCALIZED else "degraded"
    reason = generic(localization.reason)
    return reason if reason in meanings[2:] else OTHER


def times(data: ReportData) -> tuple[NDArray[np.float64], str]:
    """Where each query inside (N,) lies on the time axis, and what that axis is called."""
    stamps = np.array([r.stamp for r in inside(data)], float)
    if len(stamps) > 1 and np.isfinite(stamps).all() and (np.diff(stamps) > 0).all():
        return stamps - stamps[0], "seconds since the first query"
    return np.arange(len(stamps), dtype=float), "query number"


def plot(data: ReportData) -> Figure | None:
    """One tick a query, in the row of its state or of its reason; None without queries."""
    if not inside(data):
        return None
    labels, where = rows(data)
    moments, axis_name = times(data)
    figure, (axes,) = style.new_figure(height=0.9 + 0.3 * len(labels))
    for row, (label, _, _) in enumerate(labels):
        colour = style.STATE_COLOURS.get(label, style.RED)
        ticks = moments[where == row]
        axes.vlines(ticks, row - 0.38, row + 0.38, colors=colour, linewidth=_width(len(moments)))
    axes.set_yticks(range(len(labels)), [f"{label} ({count})" for label, _, count in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    margin = 0.01 * (np.ptp(moments) or 1.0) + 1e-9
    axes.set_xlim(moments.min() - margin, moments.max() + margin)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(axis_name)
    return figure


def _width(count: int) -> float:
    return float(np.clip(220 / count, 0.5, 4.0))
