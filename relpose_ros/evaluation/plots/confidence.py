"""Does confidence know when a pose is wrong? Confidence against error, and the rejection curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from relpose_ros.evaluation.metrics import rejection_curve
from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.data import ReportData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_MARKS = 3000
FLOOR = 1e-6
"""Errors are drawn on a logarithmic axis: smaller ones are drawn here."""


def plot_scatter(data: ReportData) -> Figure | None:
    """One dot a pose; the dashed line is where a pose counts as grossly wrong."""
    scores = data.scores
    shown = scores.judged & np.isfinite(scores.translation)
    if not shown.any():
        return None
    figure, (axes,) = style.new_figure(height=3.0)
    crowded = int(shown.sum()) > MAX_MARKS
    for state, mask in (("localized", scores.localized), ("degraded", ~scores.localized)):
        chosen = shown & mask
        if chosen.any():
            error = np.maximum(scores.translation[chosen], FLOOR)
            colour = style.STATE_COLOURS[state]
            axes.scatter(
                scores.confidence[chosen],
                error,
                s=14,
                c=colour,
                alpha=0.7,
                linewidths=0,
                label=state,
                rasterized=crowded,
            )
    if np.isfinite(data.limits.translation):
        axes.axhline(data.limits.translation, color=style.RED, linewidth=0.9, linestyle=(0, (3, 3)))
    style.logarithmic(axes, "y")
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel(f"translation error [{data.unit}]")
    axes.legend(loc="lower left", handletextpad=0.2)
    return figure


def plot_rejection(data: ReportData) -> Figure | None:
    """Error of the most confident poses, as fewer and fewer of them are kept."""
    judged = data.scores[data.scores.judged]
    finite = judged[np.isfinite(judged.translation)]
    if len(finite) < 2:
        return None
    kept, middle, high = rejection_curve(finite.confidence, finite.translation)
    figure, (axes,) = style.new_figure(height=3.0)
    axes.plot(100 * kept, np.maximum(high, FLOOR), color=style.AMBER, label="95 of 100 are better than")
    axes.plot(100 * kept, np.maximum(middle, FLOOR), color=style.BLUE, label="half are better than")
    style.logarithmic(axes, "y", (1, 3))
    axes.set_xlim(0, 101)
    axes.set_xlabel("most confident poses kept [%]")
    axes.set_ylabel(f"translation error [{data.unit}]")
    axes.legend(loc="best")
    return figure
