"""Walls of a room, furnished from left to right."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from relpose_ros.datasets.simulate import furniture
from relpose_ros.datasets.simulate.building import Building, WallPiece
from relpose_ros.datasets.simulate.surfaces import Label

Piece = Callable[[Building, WallPiece, float, float], bool]
"""Something at a wall: (building, wall, its middle along the wall, its width) -> whether there was room."""

MIXED: tuple[Piece, ...] = (
    furniture.bookshelf,
    furniture.bookshelf,
    furniture.bookshelf,
    furniture.cabinet,
    furniture.cabinet,
    furniture.crates,
    furniture.desk_at_wall,
)
"""What an office has at its walls, as often as it has it."""


def line_wall(b: Building, wall: WallPiece, pieces: Sequence[Piece] = MIXED) -> None:
    """Furniture and pictures along a wall from left to right, with a blank stretch now and then."""
    along = 0.12
    while along < wall.length - 0.5:
        room = wall.length - 0.1 - along
        width = min(room, float(b.rng.uniform(0.7, 1.5)))
        middle = along + width / 2
        if _hangs(b, wall, along, width) or b.rng.random() < 0.1:
            along += width * 0.5
            continue
        build = pieces[int(b.rng.integers(len(pieces)))]
        if not build(b, wall, middle, width) and b.rng.random() < 0.9:
            size = (min(width, float(b.rng.uniform(0.5, 0.9))), float(b.rng.uniform(0.6, 1.0)))
            b.hang(wall, middle, size, float(b.rng.uniform(1.0, 1.3)), b.texture("poster", 1.5), Label.POSTER)
        along += width + float(b.rng.uniform(0.05, 0.3))


def _hangs(b: Building, wall: WallPiece, along: float, width: float) -> bool:
    """Whether a window or door is on this stretch of the wall."""
    for s in b.surfaces:
        if s.label not in (Label.WINDOW, Label.DOOR):
            continue
        ends = np.stack([s.corner[:2], (s.corner + s.along)[:2]]) - wall.start
        if np.abs(ends @ wall.inward).max() < 0.1:
            low, high = np.sort(ends @ wall.right)
            if high > along and low < along + width and low > -0.05 and high < wall.length + 0.05:
                return True
    return False
