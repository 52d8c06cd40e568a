"""Covariance and confidence against what really happened, before a calibration and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.consistency import Share, reliability
from relpose_ros.evaluation.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MIN_IN_BIN = 5
"""Poses that make a point of the confidence curve, at least."""


@dataclass(frozen=True)
class BeforeAfter:
    """NEES (N,) of right poses, and confidence (M,) of poses that are `right` or not, before and after."""

    nees_before: Array
    nees_after: Array
    confidence_before: Array
    confidence_after: Array
    right: NDArray[np.bool_]


def plot_coverage(data: BeforeAfter) -> Figure:
    """How often the truth lies in the region said to hold it with a probability."""
    figure, (axes,) = style.new_figure(height=3.6)
    for values, colour, label in (
        (data.nees_before, style.GREY, "before"),
        (data.nees_after, style.BLUE, "after"),
    ):
        table = reliability(values)
        level = [row["level"] for row in table]
        axes.fill_between(
            level,
            [r["low"] for r in table],
            [r["high"] for r in table],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
        axes.plot(level, [r["share"] for r in table], color=colour, marker="o", markersize=3.5, label=label)
    _diagonal(axes, "region said to hold [%]", "truth inside [%]")
    return figure


def plot_confidence(data: BeforeAfter) -> Figure:
    """How often poses of a confidence are right, in groups of equal size."""
    figure, (axes,) = style.new_figure(height=3.6)
    for confidence, colour, label in (
        (data.confidence_before, style.GREY, "before"),
        (data.confidence_after, style.GREEN, "after"),
    ):
        rows = frequencies(confidence, data.right)
        mean = [row[0] for row in rows]
        low, high = [row[1].interval[0] for row in rows], [row[1].interval[1] for row in rows]
        axes.vlines(mean, low, high, colors=colour, alpha=0.4)
        axes.plot(mean, [row[1].value for row in rows], color=colour, marker="o", markersize=4, label=label)
    _diagonal(axes, "mean confidence [%]", "poses right [%]")
    return figure


def frequencies(confidence: Array, right: NDArray[np.bool_], groups: int = 6) -> list[tuple[float, Share]]:
    """Mean confidence and share of right poses, of up to `groups` groups of equal size, surest last."""
    order = np.argsort(confidence, kind="stable")
    count = max(1, min(groups, len(order) // MIN_IN_BIN))
    members = [m for m in np.array_split(order, count) if len(m)]
    return [(float(confidence[m].mean()), Share(int(right[m].sum()), len(m))) for m in members]


def _diagonal(axes: Axes, across: str, up: str) -> None:
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f}")
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f}")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(loc="upper left")
