"""What share of all queries is within a given error. Queries without a pose never are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.metrics import RECALL_METRES
from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.data import ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


def curve(errors: Array) -> tuple[Array, Array]:
    """Sorted finite errors and the share of all entries (infinite ones included) at or below each."""
    finite = np.sort(errors[np.isfinite(errors)])
    return finite, np.arange(1, len(finite) + 1) / max(1, len(errors))


def plot(data: ReportData) -> Figure | None:
    """Translation and rotation side by side; None when no query has ground truth."""
    scored = data.scores[data.scores.scored]
    if not len(scored):
        return None
    figure, (left, right) = style.new_figure(height=2.9, columns=2, sharey=True)
    metres = sorted({m for m, _ in RECALL_METRES.values()}) if data.metric else []
    _panel(left, scored.translation, metres, f"translation error [{data.unit}]", style.BLUE)
    angles = sorted({d for _, d in RECALL_METRES.values()})
    _panel(right, scored.rotation_deg, angles, "rotation error [deg]", style.GREEN)
    left.set_ylabel("share of all queries")
    return figure


def _panel(axes: Axes, errors: Array, marks: list[float], label: str, colour: str) -> None:
    values, shares = curve(errors)
    values = np.maximum(values, 1e-6)
    style.logarithmic(axes, "x")
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
    axes.set_xlabel(label)
    for mark in marks:
        axes.axvline(mark, color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    if not len(values):
        axes.set_xlim(1e-3, 10)
        return
    low, high = 0.7 * values[0], max([1.4 * values[-1], *(1.2 * m for m in marks)])
    x, y = np.r_[low, values, high], np.r_[0, shares, shares[-1]]
    axes.step(x, y, where="post", color=colour)
    axes.fill_between(x, y, step="post", color=colour, alpha=0.12, linewidth=0)
    axes.set_xlim(low, high)
