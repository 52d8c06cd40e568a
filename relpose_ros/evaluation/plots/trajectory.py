"""The queries from above: where they were, how wrong the answers were, and what was claimed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.data import ReportData
from relpose_ros.evaluation.plots.view import (
    covariance_block,
    magnification,
    positions,
    references,
    widest_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MAX_POINTS = 4000
MAX_ELLIPSES = 250


def plot(data: ReportData) -> tuple[Figure, str] | None:
    """The figure and a sentence about its magnification; None when there is no position at all."""
    truth, estimate = positions(data)
    known = np.concatenate([truth, estimate, references(data)])
    known = known[np.isfinite(known).all(axis=1)]
    if not len(known):
        return None
    axes_used = widest_axes(known)
    flat = known[:, axes_used]
    span = float(np.ptp(flat, axis=0).max()) or 1.0
    zoom = magnification(data, axes_used, span)
    figure, (axes,) = style.new_figure(height=_height(flat))
    _background(axes, data, axes_used, flat, span)
    _truths(axes, data, truth, axes_used)
    _estimates(figure, axes, data, truth[:, axes_used], estimate[:, axes_used], zoom, axes_used)
    _frame(axes, flat, span, axes_used, data.unit)
    return figure, _note(zoom)


def _background(axes: Axes, data: ReportData, used: list[int], flat: Array, span: float) -> None:
    points = data.map_points
    if points is not None and len(points):
        low, high = flat.min(axis=0) - 0.4 * span, flat.max(axis=0) + 0.4 * span
        drawn = np.asarray(points, float)[:, used]
        drawn = drawn[((drawn > low) & (drawn < high)).all(axis=1)]
        drawn = drawn[:: max(1, len(drawn) // MAX_POINTS)]
        axes.scatter(drawn[:, 0], drawn[:, 1], s=0.6, c=style.GREY, alpha=0.35, linewidths=0, rasterized=True)
    where = references(data)[:, used]
    crowded = len(where) > MAX_POINTS
    axes.scatter(
        where[:, 0],
        where[:, 1],
        s=9,
        c=style.GREY,
        alpha=0.6,
        linewidths=0,
        label="references",
        rasterized=crowded,
    )


def _truths(axes: Axes, data: ReportData, truth: Array, used: list[int]) -> None:
    missing = ~data.scores.published & data.scores.inside & np.isfinite(truth).all(axis=1)
    where = truth[missing][:, used]
    if len(where):
        axes.scatter(where[:, 0], where[:, 1], s=26, marker="x", c=style.RED, linewidths=1.3, label="no pose")


def _estimates(
    figure: Figure, axes: Axes, data: ReportData, truth: Array, estimate: Array, zoom: int, used: list[int]
) -> None:
    """Dots coloured by error at the (magnified) estimates, lines to the truth, ellipses around."""
    from matplotlib.collections import LineCollection

    error = data.scores.translation
    shown = np.isfinite(estimate).all(axis=1)
    compared = shown & np.isfinite(truth).all(axis=1) & np.isfinite(error)
    loose = shown & ~compared
    outside = loose & data.scores.outside
    for mask, colour, label in (
        (loose & ~outside, style.BLUE, "estimate"),
        (outside, style.RED, "not in the map"),
    ):
        if mask.any():
            axes.scatter(
                estimate[mask, 0], estimate[mask, 1], s=16, c=colour, marker="D", linewidths=0, label=label
            )
    if not compared.any():
        return
    away = np.where(compared[:, None], truth + zoom * (estimate - truth), estimate)
    norm, colours = _norm(error[compared]), style.error_colours()
    lines = np.stack([truth[compared], away[compared]], axis=1)
    rgba = colours(norm(error[compared]))
    axes.add_collection(LineCollection(list(lines), colors=rgba, linewidths=0.9, alpha=0.8))
    _ellipses(axes, data, away, np.flatnonzero(compared), colours(norm(error)), zoom, used)
    dots = axes.scatter(
        away[compared, 0], away[compared, 1], s=11, c=error[compared], cmap=colours, norm=norm, linewidths=0
    )
    _colour_bar(figure, axes, dots, f"translation error [{data.unit}]")


def _ellipses(
    axes: Axes, data: ReportData, centres: Array, indices: Any, colours: Array, zoom: int, used: list[int]
) -> None:
    """2-sigma outlines: half axes are 2 sqrt(eigenvalue) of the drawn block."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Ellipse

    step = max(1, math.ceil(len(indices) / MAX_ELLIPSES))
    patches, edges = [], []
    for index in indices[::step]:
        block = covariance_block(data.records[index].localization.covariance, used)
        if block is None:
            continue
        values, vectors = np.linalg.eigh(block)
        width, height = 4 * zoom * np.sqrt(np.maximum(values, 0))
        turn = math.degrees(math.atan2(vectors[1, 0], vectors[0, 0]))
        patches.append(Ellipse(tuple(centres[index]), width, height, angle=turn))
        edges.append(colours[index])
    outline = PatchCollection(patches, facecolors="none", edgecolors=edges, linewidths=0.9, alpha=0.8)
    axes.add_collection(outline)


def _norm(error: Array) -> Any:
    from matplotlib.colors import LogNorm

    low, high = max(float(np.percentile(error, 5)), 1e-6), float(np.percentile(error, 98))
    return LogNorm(low, max(high, 2 * low), clip=True)


def _frame(axes: Axes, flat: Array, span: float, used: list[int], unit: str) -> None:
    """Equal scales, a margin, and limits that a wild estimate cannot blow up."""
    low, high = np.percentile(flat, 1, axis=0), np.percentile(flat, 99, axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 0.02 * span) + 0.12 * span
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
    axes.set_aspect("equal")
    axes.set_xlabel(f"map {'xyz'[used[0]]} [{unit}]")
    axes.set_ylabel(f"map {'xyz'[used[1]]} [{unit}]")
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(handles, labels, loc="outside upper left", ncols=3, handletextpad=0.3)


def _colour_bar(figure: Figure, axes: Axes, dots: Any, label: str) -> None:
    from matplotlib.ticker import NullLocator

    bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.8, aspect=40, pad=0.02)
    style.logarithmic(bar.ax, "x", (1, 2, 5))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.set_label(label)
    bar.outline.set_visible(False)


def _height(flat: Array) -> float:
    """Inches that suit the shape of what is drawn."""
    wide, high = np.percentile(flat, 99, axis=0) - np.percentile(flat, 1, axis=0)
    return float(np.clip(style.WIDTH * 0.85 * (high + 0.1 * wide) / max(wide, 1e-9), 1.8, 4.6)) + 1.4


def _note(zoom: int) -> str:
    text = (
        "Each dot is an answer, its line leads to the truth, its outline is the 2-sigma ellipse "
        "that it claimed."
    )
    if zoom > 1:
        text += f" Errors and ellipses are drawn {zoom} times too large, or they could not be seen."
    return text
