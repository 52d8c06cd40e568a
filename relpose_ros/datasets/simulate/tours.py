"""Ways through a floor plan: round every room, and through every door there and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.building import Room
from relpose_ros.datasets.simulate.floor_plan import Door, FloorPlan

BEFORE_DOOR = 0.55
"""A way meets a door straight on from so many metres before its middle."""

LEAST_HALF = 0.15
"""Half of the shorter side of a round through a small room (metres)."""

JITTER = 0.12
"""Corners of a round are off by so much at most (metres)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tour:
    """A way that keeps `inset` metres from walls. `turn` of its rounds: 1 counter-clockwise, -1 clockwise."""

    plan: FloorPlan
    inset: float
    turn: int
    rng: Generator

    def corners(self, start: int) -> Floats:
        """The way's corners (K, 2) from room `start` through all rooms and back."""
        return np.stack(list(self._round(start, None)))

    def _round(self, room: int, entered: Door | None) -> Iterator[Floats]:
        """Round a room from the corner nearest to where it was entered, with side trips to what is behind."""
        corners = self._loop(self.plan.rooms[room])
        first = 0 if entered is None else _nearest(corners, self._before(entered, room))
        corners = np.roll(corners, -first, axis=0)
        leaving = [d for d in self.plan.doors if room in d.rooms and d is not entered]
        for number, corner in enumerate(corners):
            yield corner
            for door in leaving:
                if _nearest(corners, self._before(door, room)) == number:
                    yield from self._side_trip(room, door)
                    yield corner
        yield corners[0]

    def _side_trip(self, room: int, door: Door) -> Iterator[Floats]:
        (behind,) = set(door.rooms) - {room}
        here, there = self._before(door, room), self._before(door, behind)
        yield from (here, there)
        yield from self._round(behind, door)
        yield from (there, here)

    def _loop(self, room: Room) -> Floats:
        """Corners (4, 2) of a round."""
        low, high = np.array(room.low), np.array(room.high)
        half = np.maximum((high - low) / 2 - self.inset, LEAST_HALF)
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])[:: self.turn]
        return np.asarray((low + high) / 2 + signs * half + self.rng.uniform(-JITTER, JITTER, (4, 2)))

    def _before(self, door: Door, room: int) -> Floats:
        """Where one stands in a room before going through a door."""
        rectangle = self.plan.rooms[room]
        middle = (np.array(rectangle.low) + rectangle.high) / 2
        step = np.zeros(2)
        step[door.axis] = BEFORE_DOOR * np.sign(middle - door.middle)[door.axis]
        return np.asarray(door.middle + step)


def _nearest(corners: Floats, point: Floats) -> int:
    return int(np.argmin(np.linalg.norm(corners - point, axis=1)))
