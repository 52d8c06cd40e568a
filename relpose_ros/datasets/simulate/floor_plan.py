"""Floor plans by chance: a rectangle divided into rooms, and doors by which all of them are reached."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.building import Opening, Room

LEAST_SIDE = 2.6
"""Metres between the middles of two walls of a room."""

WALL = 0.1
DOOR = 1.0
MARGIN = 0.25
"""Thickness of walls, width of doors, least distance of a door from a corner (metres)."""

WALLS = ("plaster", "rough_plaster", "rough_plaster", "brick")
FLOORS = ("carpet", "wood", "tiles")

Floats = NDArray[np.float64]


class Cell(NamedTuple):
    """A rectangle of the plan, up to the middles of its walls."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Door:
    """A passage between two rooms, given by their numbers; `axis` (0 or 1) is the one it is walked along."""

    rooms: tuple[int, int]
    opening: Opening
    axis: int

    @property
    def middle(self) -> Floats:
        """(2,) metres."""
        return np.asarray((np.array(self.opening.low) + self.opening.high) / 2)


@dataclass(frozen=True)
class FloorPlan:
    """Rooms, and doors that make a tree of them: there is one way from each to each."""

    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]


def draw_floor_plan(rng: Generator) -> FloorPlan:
    """Two to four rooms on 6.5 x 5.5 to 11 x 8 m."""
    outer = Cell(0.0, 0.0, float(rng.uniform(6.5, 11.0)), float(rng.uniform(5.5, 8.0)))
    cells = _divided(outer, int(rng.integers(2, 5)), rng)
    return FloorPlan(tuple(_room(cell, rng) for cell in cells), tuple(_doors(cells, rng)))


def _divided(outer: Cell, count: int, rng: Generator) -> list[Cell]:
    """The largest cell is cut across its longer side until there are `count`."""
    cells = [outer]
    while len(cells) < count:
        largest = max(cells, key=lambda c: (c.x1 - c.x0) * (c.y1 - c.y0))
        x0, y0, x1, y1 = largest
        wide = x1 - x0 >= y1 - y0
        if max(x1 - x0, y1 - y0) < 2 * LEAST_SIDE:
            break
        cells.remove(largest)
        if wide:
            cut = float(rng.uniform(x0 + LEAST_SIDE, x1 - LEAST_SIDE))
            cells += [Cell(x0, y0, cut, y1), Cell(cut, y0, x1, y1)]
        else:
            cut = float(rng.uniform(y0 + LEAST_SIDE, y1 - LEAST_SIDE))
            cells += [Cell(x0, y0, x1, cut), Cell(x0, cut, x1, y1)]
    return cells


def _room(cell: Cell, rng: Generator) -> Room:
    half = WALL / 2
    low, high = (cell.x0 + half, cell.y0 + half), (cell.x1 - half, cell.y1 - half)
    return Room(low, high, str(rng.choice(WALLS)), str(rng.choice(FLOORS)))


def _doors(cells: list[Cell], rng: Generator) -> list[Door]:
    """A spanning tree of the rooms that share enough of a wall, by chance (Kruskal).

    The two sides of a cut always share a stretch of at least `LEAST_SIDE` beside its end, so that every room
    is reached.
    """
    pairs = [(a, b) for a, b in combinations(range(len(cells)), 2) if _shared(cells[a], cells[b])]
    group = list(range(len(cells)))
    doors = []
    for k in rng.permutation(len(pairs)).tolist():
        a, b = pairs[k]
        if group[a] == group[b]:
            continue
        group = [group[a] if g == group[b] else g for g in group]
        doors.append(_door(cells, a, b, rng))
    return doors


def _shared(one: Cell, other: Cell) -> tuple[int, float, float, float] | None:
    """Axis across the wall that two cells share, where it is, and from where to where a door may be in it."""
    for axis in (0, 1):
        for low, high in ((one, other), (other, one)):
            if low[axis + 2] == high[axis]:
                along = 1 - axis
                first = max(one[along], other[along]) + WALL / 2 + MARGIN
                last = min(one[along + 2], other[along + 2]) - WALL / 2 - MARGIN - DOOR
                if last >= first:
                    return axis, low[axis + 2], first, last
    return None


def _door(cells: list[Cell], a: int, b: int, rng: Generator) -> Door:
    shared = _shared(cells[a], cells[b])
    assert shared is not None
    axis, wall, first, last = shared
    start = float(rng.uniform(first, last))
    low, high = [wall - WALL / 2] * 2, [wall + WALL / 2] * 2
    low[1 - axis], high[1 - axis] = start, start + DOOR
    return Door((a, b), Opening((low[0], low[1]), (high[0], high[1])), axis)
