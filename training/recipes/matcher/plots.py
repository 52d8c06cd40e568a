"""Results of a test as a picture: share of pairs within an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relpose_ros.evaluation.plots.cumulative import curve

LARGEST = 20.0
"""Degrees that the curves show."""


def plot_errors(errors: Mapping[str, Sequence[float]], path: Path) -> Path:
    """Share of pairs within each pose error in degrees, a line for each contender."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, values in errors.items():
        at, shares = curve(np.asarray(values, float))
        axes.step(np.r_[0, at], np.r_[0, shares], where="post", label=name)
    axes.set(xlabel="pose error [deg]", ylabel="share of pairs", xlim=(0, LARGEST), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    part = path.with_name(f".{path.name}")
    figure.savefig(part, dpi=110, format="png")
    part.replace(path)
    return path
