"""A map drawn: from above and from the side, what was looked at, landmarks by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.map_scene import HEADINGS, MapScene, headings_covered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MAX_POINTS = 20_000
MAX_ARROWS = 3_000


def plot_view(scene: MapScene, used: tuple[int, int]) -> Figure:
    """References with viewing directions, by condition in colours, over the landmarks, along two axes."""
    flat = scene.centres[:, used]
    low, high = _limits(flat, scene.points[:, used])
    figure, (axes,) = style.new_figure(height=_height(high - low))
    _landmarks(axes, scene.points[:, used], low, high)
    _references(axes, scene, used)
    for mask, marker, colour, label in (
        (scene.poor, "x", style.RED, f"sees fewer than {scene.few} landmarks"),
        (scene.lone, "+", style.AMBER, "shares them with no other"),
    ):
        if mask.any():
            x, y = flat[mask].T
            axes.scatter(x, y, s=38, marker=marker, linewidths=1.4, label=label, c=colour)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xlabel(f"map {'xyz'[used[0]]} [{scene.unit}]")
    axes.set_ylabel(f"map {'xyz'[used[1]]} [{scene.unit}]")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, handletextpad=0.3)
    return figure


def plot_headings(scene: MapScene) -> Figure:
    """In how many directions each cell was looked at, from above."""
    x, y, covered = headings_covered(scene)
    figure, (axes,) = style.new_figure(height=_height(np.array([x[-1] - x[0], y[-1] - y[0]])))
    colours = style.error_colours().reversed()
    drawn = axes.pcolormesh(x, y, covered.T, cmap=colours, vmin=1, vmax=HEADINGS, rasterized=True)
    axes.set_aspect("equal")
    axes.set_xlabel(f"map {'xyz'[scene.axes[0]]} [{scene.unit}]")
    axes.set_ylabel(f"map {'xyz'[scene.axes[1]]} [{scene.unit}]")
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.8, aspect=40, pad=0.02)
    bar.set_label(f"directions looked in, of {HEADINGS}")
    bar.outline.set_visible(False)
    return figure


def plot_landmarks(scene: MapScene) -> Figure:
    """How many landmarks each reference sees, in the map's order, by condition in colours."""
    figure, (axes,) = style.new_figure(height=2.6)
    order = np.arange(len(scene.names))
    for condition, colour in condition_colours(scene).items():
        mask = np.array([c == condition for c in scene.conditions])
        axes.scatter(order[mask], np.maximum(scene.landmarks[mask], 0.5), s=9, c=colour, linewidths=0)
    axes.axhline(scene.few, color=style.RED, linewidth=0.9, linestyle=(0, (3, 3)))
    style.logarithmic(axes, "y")
    axes.set_xlabel("reference")
    axes.set_ylabel("landmarks seen")
    return figure


def condition_colours(scene: MapScene) -> dict[str, str]:
    """Condition -> its colour everywhere on the page."""
    names = sorted(set(scene.conditions))
    return {name: style.STAGES[i % len(style.STAGES)] for i, name in enumerate(names)}


def _limits(flat: Array, points: Array) -> tuple[Array, Array]:
    """What is drawn: all references, and the landmarks around them but no stray ones."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    if len(points):
        around = 0.6 * float((high - low).max()) or np.inf
        low = np.maximum(np.minimum(low, np.percentile(points, 2, axis=0)), low - around)
        high = np.minimum(np.maximum(high, np.percentile(points, 98, axis=0)), high + around)
    margin = 0.04 * max(float((high - low).max()), 1e-9)
    return low - margin, high + margin


def _landmarks(axes: Axes, points: Array, low: Array, high: Array) -> None:
    drawn = points[((points > low) & (points < high)).all(axis=1)]
    drawn = drawn[:: max(1, len(drawn) // MAX_POINTS)]
    axes.scatter(drawn[:, 0], drawn[:, 1], s=0.6, c=style.GREY, alpha=0.4, linewidths=0, rasterized=True)


def _references(axes: Axes, scene: MapScene, used: tuple[int, int]) -> None:
    flat, ahead = scene.centres[:, used], scene.forward[:, used]
    span = max(float(np.ptp(flat, axis=0).max()), scene.spacing)
    length = min(1.5 * scene.spacing, 0.08 * span)
    step = max(1, len(flat) // MAX_ARROWS)
    for condition, colour in condition_colours(scene).items():
        mask = np.array([c == condition for c in scene.conditions])
        label = condition if len(set(scene.conditions)) > 1 else "references"
        x, y = flat[mask].T
        axes.scatter(x, y, s=9, c=colour, linewidths=0, label=label, rasterized=len(x) > 2000)
        here = np.flatnonzero(mask)[::step]
        axes.quiver(
            *flat[here].T,
            *(length * ahead[here]).T,
            color=colour,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.003,
            headwidth=4,
            alpha=0.8,
            rasterized=len(here) > 800,
        )


def _height(size: Array) -> float:
    """Inches that suit the shape of what is drawn."""
    return float(np.clip(style.WIDTH * 0.85 * size[1] / max(float(size[0]), 1e-9), 1.5, 5.5)) + 1.2
