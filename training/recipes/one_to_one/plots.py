"""Results of a test as pictures: share of pairs within an error, and accuracy by sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relpose_ros.evaluation.plots.cumulative import curve
from relpose_training.recipes.one_to_one.examination import NETWORK, PairResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST = 20.0
"""Degrees that the curves show."""

PANELS = ("all", "in-sample", "out-of-sample")


def plot_errors(groups: Mapping[str, Sequence[PairResult]], path: Path) -> Path:
    """Share of pairs within each pose error, a line for each method; a panel for `all` and for each kind."""
    from matplotlib.figure import Figure

    shown = [name for name in PANELS if name in groups]
    figure = Figure(figsize=(4.6 * len(shown) + 2, 4.2), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, shown, strict=True):
        for method in groups[name][0].errors:
            errors = np.array([max(result.errors[method]) for result in groups[name]])
            values, shares = curve(errors)
            colour, style = _look(method, list(groups[name][0].errors))
            axes.step(np.r_[0, values], np.r_[0, shares], style, where="post", color=colour, label=method)
        axes.set(title=f"{name}, {len(groups[name])} pairs", xlabel="pose error [deg]", xlim=(0, LARGEST))
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="share of pairs", ylim=(0, 1))
    _legend(figure, panels[0])
    return _save(figure, path)


def plot_sequences(groups: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Accuracy at 5 degrees and exact AUC at 20 of every method, by sequence."""
    from matplotlib.figure import Figure

    sequences = {
        name.removeprefix("sequence "): g for name, g in groups.items() if name.startswith("sequence ")
    }
    figure = Figure(figsize=(max(6.0, 1.6 * len(sequences) + 4), 6.5), layout="constrained")
    for axes, metric in zip(figure.subplots(2, 1, sharex=True), ("accuracy_5", "auc_20"), strict=True):
        _bars(axes, sequences, metric)
    _legend(figure, figure.axes[0])
    return _save(figure, path)


def _bars(axes: Axes, sequences: Mapping[str, Mapping[str, Any]], metric: str) -> None:
    methods = list(next(iter(sequences.values()))["methods"])
    width = 0.85 / len(methods)
    places = np.arange(len(sequences))
    for i, method in enumerate(methods):
        heights = [group["methods"][method][metric] for group in sequences.values()]
        colour, style = _look(method, methods)
        shift = (i - (len(methods) - 1) / 2) * width
        strength = {"-": 1.0, "--": 0.6, ":": 0.3}[style]
        axes.bar(places + shift, heights, width, label=method, color=colour, alpha=strength)
    axes.set(ylabel=metric, ylim=(0, 1))
    axes.set_xticks(places, [f"{name}\n{group['pairs']} pairs" for name, group in sequences.items()])
    axes.grid(alpha=0.3, axis="y")


def _look(method: str, methods: Sequence[str]) -> tuple[str, str]:
    """Colour of a method by its correspondences, line by its estimator; the network alone is black."""
    if method == NETWORK:
        return "black", "-"
    sources = list(dict.fromkeys(name.partition(" + ")[0] for name in methods))
    estimators = list(dict.fromkeys(name.partition(" + ")[2] for name in methods if name != NETWORK))
    source, _, estimator = method.partition(" + ")
    return f"C{sources.index(source)}", ("-", "--", ":")[estimators.index(estimator)]


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8)


def _save(figure: Figure, path: Path) -> Path:
    part = path.with_name(f".{path.name}")
    figure.savefig(part, dpi=110, format="png")
    part.replace(path)
    return path
