"""The similarity of the views of a scene as a picture: the matrix, and views with near and far ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_training.data.contrastive_sets import SetOptions
from relpose_training.data.contrastive_tuples import KINDS, Partners, TupleOptions
from relpose_training.data.similarity_table import SimilarityTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pixels = NDArray[np.uint8]

ROWS = 4
TITLES = {
    "positive_same": "same place, same domain",
    "positive_other": "same place, other domain",
    "negative_same": "elsewhere, same domain",
    "negative_other": "elsewhere, other domain",
}


def plot_similarity(
    table: SimilarityTable,
    path: Path,
    load: Callable[[int], Pixels],
    sets: SetOptions,
    seed: int = 0,
) -> Path:
    """Draw the distances, and anchors with a partner of each kind as contrastive training would draw them.

    `load` gives the image (H, W) or (H, W, 3), RGB, of a view. Raises DatasetError if the ending of `path`
    is no picture's.
    """
    from matplotlib.figure import Figure

    examples = _examples(table, sets, seed)
    figure = Figure(figsize=(4.5 + 2.2 * (1 + len(KINDS)), 1.7 * ROWS + 0.6), layout="constrained")
    parts = figure.subfigures(1, 2, width_ratios=(4.5, 2.2 * (1 + len(KINDS))), squeeze=False)[0]
    _matrix(parts[0].subplots(), table)
    grid = parts[1].subplots(max(len(examples), 1), 1 + len(KINDS), squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for row, (anchor, partners) in zip(grid, examples, strict=False):
        _view(row[0], load(anchor), "anchor", table.names[anchor])
        for axes, kind, partner in zip(row[1:], KINDS, partners, strict=True):
            if partner is not None:
                text = f"{table.distance[anchor, partner]:.3g}, {table.metres[anchor, partner]:.2g} m"
                _view(axes, load(partner), TITLES[kind], text)
    try:
        figure.savefig(path, dpi=110)
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from None
    return path


def _examples(table: SimilarityTable, sets: SetOptions, seed: int) -> list[tuple[int, list[int | None]]]:
    """Views (spread over the set) with a partner of each kind, None where there is none."""
    try:
        partners = Partners(table, TupleOptions(1, 1, 1, 1, sets))
    except DatasetError:
        return []
    generator = np.random.default_rng(seed)
    able = np.flatnonzero(partners.feasible)
    chosen = able[np.unique(np.linspace(0, len(able) - 1, ROWS).astype(int))]
    drawn = [(int(anchor), *partners.draw(int(anchor), generator)) for anchor in chosen]
    return [
        (a, [int(n) if e else None for n, e in zip(others, exist, strict=True)]) for a, others, exist in drawn
    ]


def _matrix(axes: Axes, table: SimilarityTable) -> None:
    order = np.argsort(table.simulated, kind="stable")
    shown = axes.imshow(table.distance[np.ix_(order, order)], cmap="magma")
    real = int((~table.simulated).sum())
    if 0 < real < len(order):
        axes.axhline(real - 0.5, color="white", lw=0.8)
        axes.axvline(real - 0.5, color="white", lw=0.8)
    kind = {"frustum": "frustum overlap", "surface": "surface overlap"}.get(
        str(table.options.get("metric")), "overlap and pose"
    )
    ranked = ", re-ranked" if table.options.get("rerank") else ""
    axes.set(
        title=f"distance by {kind}{ranked}\n{real} real, {len(order) - real} simulated views", xlabel="view"
    )
    axes.figure.colorbar(shown, ax=axes, shrink=0.6)


def _view(axes: Axes, image: Pixels, title: str, text: str) -> None:
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None)
    axes.set_title(f"{title}\n{text}", fontsize=6)
