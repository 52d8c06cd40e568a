"""Curves of tested ways of describing images: recall over answers, precision over recall."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.retrieval_confidence import acceptance_curve
from relpose_ros.evaluation.retrieval_recall import recalls_of_ranks
from relpose_training.recipes.retrieval.examination import Examined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes", Sequence[Examined]], None]

LINES = ("-", "--", "-.", ":")


def draw_recall(axes: Axes, rows: Sequence[Examined]) -> None:
    """Share of the answerable queries with a right one among the first N answers."""
    from matplotlib.ticker import MaxNLocator

    for number, row in enumerate(rows):
        at = range(1, row.right.shape[1] + 1)
        recall = recalls_of_ranks(row.ranks[row.answerable], at)
        colour, line = _look(number)
        axes.plot(at, 100 * recall, line, color=colour, marker=".", markersize=4, label=row.method)
    axes.set(xlabel="answers N", ylabel="recall@N [%]", ylim=(0, 101))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.4)
    axes.legend(loc="lower right", fontsize="small")


def draw_precision(axes: Axes, rows: Sequence[Examined]) -> None:
    """Share of accepted first answers that are right, over that of answerable queries answered rightly."""
    for number, row in enumerate(rows):
        answerable = int(row.answerable.sum())
        curve = acceptance_curve(row.ranking.scores[:, 0], row.right[:, 0], answerable)
        colour, line = _look(number)
        axes.plot(100 * curve.recall, 100 * curve.precision, line, color=colour, label=row.method)
    axes.set(xlabel="queries answered rightly [%]", ylabel="precision [%]", xlim=(0, 101), ylim=(0, 101))
    axes.grid(alpha=0.4)
    axes.legend(loc="upper right", fontsize="small")


CURVES: Mapping[str, Draw] = {"recall": draw_recall, "precision": draw_precision}
"""Name of the file -> what draws it."""


def new_card(draw: Draw, rows: Sequence[Examined]) -> Figure:
    """A curve as the page shows it; within `house_style`."""
    figure, (axes,) = style.new_figure(height=3.2)
    draw(axes, rows)
    return figure


def save_curves(groups: Mapping[str, Sequence[Examined]], folder: Path) -> list[str]:
    """recall.png, recall.svg, precision.png and precision.svg, a panel for each set; returns their names."""
    from matplotlib.figure import Figure

    written = []
    with style.house_style():
        for name, draw in CURVES.items():
            figure = Figure(figsize=(5.2 * len(groups), 4.4), layout="constrained")
            panels = figure.subplots(1, len(groups), squeeze=False)[0]
            for axes, (title, rows) in zip(panels, groups.items(), strict=True):
                draw(axes, rows)
                axes.set_title(title)
            written += [_save(figure, folder / f"{name}.{kind}", kind) for kind in ("png", "svg")]
    return written


def _look(number: int) -> tuple[str, str]:
    """Colour and kind of line."""
    return f"C{number % 10}", LINES[number // 10 % len(LINES)]


def _save(figure: Figure, path: Path, kind: str) -> str:
    """Write under a temporary name in the same folder, then rename. Raises RelposeError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(part, format=kind, dpi=110, facecolor="white")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RelposeError(f"{path}: cannot be written ({error}); give a folder you may write to") from error
    return path.name
