"""Results of a test as a picture: share of images within an error, a line for each scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relpose_ros.evaluation.plots.cumulative import curve
from relpose_ros.evaluation.plots.scene_cells import save_png
from relpose_training.recipes.scene_coordinates.examination import ImageResult

PANELS = {"translation_m": ("translation error [m]", 1e-3), "rotation_deg": ("rotation error [deg]", 1e-2)}
"""Attribute of a result -> label, and the least that the axis shows."""


def plot_errors(scenes: Mapping[str, Sequence[ImageResult]], path: Path) -> Path:
    """Cumulative errors of the poses; an image without a pose keeps a line below one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (attribute, (label, least)) in zip(panels, PANELS.items(), strict=True):
        for name, results in scenes.items():
            errors, shares = curve(np.array([max(getattr(r, attribute), least) for r in results]))
            axes.step(np.r_[least, errors], np.r_[0, shares], where="post", label=name)
        axes.set(xlabel=label, xscale="log", ylim=(0, 1))
        axes.grid(alpha=0.3, which="both")
    panels[0].set(ylabel="share of images")
    panels[-1].legend(loc="lower right", fontsize="small")
    return save_png(figure, path)
