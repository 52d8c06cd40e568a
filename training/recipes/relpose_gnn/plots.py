"""Results of a test as a picture: shares of queries within an error, and of truths within what was said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.consistency import LEVELS
from relpose_ros.evaluation.files import write_bytes
from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.cumulative import curve
from relpose_training.recipes.relpose_gnn.coverage import Coverage
from relpose_training.recipes.relpose_gnn.examination import Examined

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_tests(tests: Sequence[Examined], path: Path) -> Path:
    """A row for each test: translation, rotation, coverage. Raises RelposeError if it cannot be written."""
    from matplotlib.figure import Figure

    with style.house_style(on_paper=True):
        figure = Figure(figsize=(13.5, 3.6 * len(tests)), layout="constrained")
        panels = figure.subplots(len(tests), 3, squeeze=False)
        for (translation, rotation, coverage), examined in zip(panels, tests, strict=True):
            unit = "m" if examined.metric else "units"
            errors = {way: examined.errors(way) for way in examined.poses}
            _draw_errors(translation, {way: far for way, (far, _) in errors.items()}, f"position [{unit}]")
            _draw_errors(rotation, {way: turned for way, (_, turned) in errors.items()}, "rotation [deg]")
            _draw_coverage(coverage, examined.coverage)
            translation.set_title(f"{examined.subject} on {examined.data}")
        return write_bytes(path, style.to_png(figure))


def _draw_errors(axes: Axes, errors: dict[str, NDArray[np.float64]], label: str) -> None:
    for way, values in errors.items():
        at, shares = curve(values)
        axes.step(np.r_[0, at], np.r_[0, shares], where="post", label=way)
    # Up to where nine of ten queries are within, by the worst way: beyond that an axis shows outliers alone.
    known = [values[np.isfinite(values)] for values in errors.values()]
    far = max((float(np.quantile(values, 0.9)) for values in known if len(values)), default=1.0)
    axes.set(xlabel=f"error of the {label}", ylabel="share of queries", xlim=(0, far or 1), ylim=(0, 1.02))
    axes.legend(loc="lower right")


def _draw_coverage(axes: Axes, coverage: Coverage | None) -> None:
    axes.set(xlabel="region said to hold", ylabel="share of truths in it", xlim=(0, 1), ylim=(0, 1.02))
    if coverage is None:
        axes.text(0.5, 0.5, "it says no covariance", ha="center")
        return
    axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8)
    for name, part in coverage.parts.items():
        axes.plot(LEVELS, [part.share(level) for level in LEVELS], marker=".", label=name)
    axes.legend(loc="lower right", fontsize="small")
