"""What a scene-coordinate network says of an image, cell by cell, beside how far it is off."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.cell_errors import CellErrors
from relpose_ros.evaluation.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

COLOURS = "viridis"
UNKNOWN = "#c9ced3"
PARTS = 10
"""Groups of cells, by predicted deviation, whose errors `plot_calibration` shows."""

MEDIAN_OF_SIGMA = 1.5382
"""Median length of an error whose three axes have standard deviation 1: root of chi-square's median (3)."""


@dataclass(frozen=True)
class ColourScales:
    """Which colours mean what, the same in all pictures.

    `low`, `high` (3): coordinates that are black and full red (x), green (y), blue (z), m; `limits`: smallest
    and largest colour by unit; predicted deviations have those of "m".
    """

    low: Array
    high: Array
    limits: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, errors: Sequence[CellErrors]) -> ColourScales:
        """From the first to the ninety-ninth percentile of what there is."""
        points = np.concatenate([e.points for e in errors])
        points = points[np.isfinite(points).all(axis=1)]
        corners = np.percentile(points, [1, 99], axis=0) if len(points) else np.array([[0.0] * 3, [1.0] * 3])
        metres = [v for e in errors for v in (e.deviation, e.error if e.unit == "m" else e.error[:0])]
        pixels = [e.error for e in errors if e.unit == "px"]
        limits = {"m": _limits(metres), "px": _limits(pixels)}
        return cls(corners[0], np.maximum(corners[1], corners[0] + 1e-6), limits)

    def colours(self, points: Array, shape: tuple[int, int]) -> Array:
        """Points (N, 3) as red, green, blue (h, w, 3) in 0..1; grey where unknown."""
        values = np.clip((points - self.low) / (self.high - self.low), 0, 1)
        unknown = np.array([int(UNKNOWN[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        known = np.isfinite(values).all(axis=1, keepdims=True)
        return np.where(known, values, unknown).reshape(*shape, 3)

    def words(self) -> str:
        """The coordinates that the colours stand for, in two lines."""
        ranges = zip(("red x", "green y", "blue z"), self.low, self.high, strict=True)
        x, y, z = (f"{name} {low:.4g} to {high:.4g}" for name, low, high in ranges)
        return f"{x}, {y},\n{z}"


def save_picture(image: NDArray[np.uint8], errors: CellErrors, scales: ColourScales, path: Path) -> Path:
    """Four panels as a PNG: the image (grey or BGR), coordinates, predicted deviation, error.

    Raises RelposeError when it cannot be written.
    """
    with style.house_style():
        return save_png(draw(image, errors, scales), path)


def draw(image: NDArray[np.uint8], errors: CellErrors, scales: ColourScales) -> Figure:
    """The picture; every panel has the pixels of the image on its axes."""
    from matplotlib.figure import Figure

    height, width = image.shape[:2]
    figure = Figure(figsize=(4 * 3.4, 1.1 + 3.0 * height / width), layout="constrained")
    panels = figure.subplots(1, 4, sharex=True, sharey=True)
    size = {"extent": errors.extent, "interpolation": "nearest"}
    panels[0].imshow(image if image.ndim == 2 else image[..., ::-1], cmap="gray", vmin=0, vmax=255)
    panels[0].set_title(errors.name[-40:])
    panels[1].imshow(scales.colours(errors.points, errors.shape), **size)
    panels[1].set_title(f"coordinates (m):\n{scales.words()}", fontsize=8)
    _map(
        panels[2], errors.deviation.reshape(errors.shape), scales.limits["m"], "predicted deviation (m)", size
    )
    label = "error (m)" if errors.unit == "m" else "reprojection error (px)"
    _map(panels[3], errors.error.reshape(errors.shape), scales.limits[errors.unit], label, size)
    for panel in panels:
        panel.grid(False)
        panel.set_xlabel("x (px)")
        panel.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    panels[0].set_ylabel("y (px)")
    return figure


def plot_calibration(errors: Sequence[CellErrors]) -> Figure | None:
    """Error against predicted deviation, of ten groups of cells; None where there is nothing to compare."""
    deviation = np.concatenate([e.deviation[e.compared] for e in errors])
    error = np.concatenate([e.error[e.compared] for e in errors])
    if len(error) < 10 * PARTS:
        return None
    parts = np.array_split(np.argsort(deviation, kind="stable"), PARTS)
    said = np.array([np.median(deviation[part]) for part in parts])
    low, middle, high = np.array(
        [np.percentile(error[part], (25, 50, 75), method="nearest") for part in parts]
    ).T
    figure, (axes,) = style.new_figure()
    axes.fill_between(said, low, high, color=style.BLUE, alpha=0.25, linewidth=0, label="half of the cells")
    axes.plot(said, middle, "o-", color=style.BLUE, markersize=4, label="median error")
    if errors[0].unit == "m":
        line = MEDIAN_OF_SIGMA * said
        axes.plot(said, line, "--", color=style.GREY, label="median if the deviation is right")
    style.logarithmic(axes, "x", (1, 2, 5))
    style.logarithmic(axes, "y", (1, 2, 5))
    axes.set_xlabel("predicted deviation (m)")
    axes.set_ylabel("error (m)" if errors[0].unit == "m" else "reprojection error (px)")
    axes.legend(loc="upper left")
    return figure


def save_png(figure: Figure, path: Path) -> Path:
    """Write under a temporary name in the same folder, then rename. Raises RelposeError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(temporary, format="png", dpi=110, facecolor="white")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RelposeError(f"{path}: cannot be written ({error}); give a folder you may write to") from error
    return path


def _map(axes: Axes, values: Array, limits: tuple[float, float], label: str, size: dict[str, Any]) -> None:
    """One quantity on a logarithmic colour scale; grey where unknown."""
    import matplotlib as mpl
    from matplotlib.colors import LogNorm

    colours = mpl.colormaps[COLOURS].with_extremes(bad=UNKNOWN)
    shown = np.ma.masked_invalid(np.where(np.isposinf(values), limits[1], np.maximum(values, limits[0])))
    picture = axes.imshow(shown, cmap=colours, norm=LogNorm(*limits), **size)
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.85)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(label if np.isfinite(values).any() else f"{label}: not known", color=style.INK)


def _limits(values: Sequence[Array]) -> tuple[float, float]:
    """Colours go from the first to the ninety-ninth percentile; over a decade at least."""
    everything = np.concatenate([*values, np.zeros(0)])
    everything = everything[np.isfinite(everything) & (everything > 0)]
    if not len(everything):
        return 0.01, 1.0
    low, high = np.percentile(everything, [1, 99])
    return (float(low), float(high)) if high > 10 * low else (float(high) / 10, float(high))
