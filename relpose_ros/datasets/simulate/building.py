"""Putting a plan together: rooms with openings, things on the walls and on the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.light_maps import Light
from relpose_ros.datasets.simulate.surfaces import Label, Surface, Texture, box, level, upright
from relpose_ros.datasets.simulate.world import Plan

HEIGHT = 2.7
DOOR_HEIGHT = 2.1
CLEARANCE = 0.4
"""Nothing stands closer to a drive's line than this (metres)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Room:
    """A rectangle of floor [low, high] in metres, and what its walls and floor are made of."""

    low: tuple[float, float]
    high: tuple[float, float]
    wall: str = "plaster"
    floor: str = "carpet"


@dataclass(frozen=True)
class Opening:
    """A passage [low, high] through the wall between two rooms."""

    low: tuple[float, float]
    high: tuple[float, float]


@dataclass(frozen=True)
class WallPiece:
    """A stretch of a room's wall on the floor from `start` to `end`; `start` is left of a viewer inside."""

    start: Floats
    end: Floats

    @property
    def length(self) -> float:
        """Metres."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def right(self) -> Floats:
        """Unit vector along the wall."""
        return np.asarray((self.end - self.start) / self.length)

    @property
    def inward(self) -> Floats:
        """Unit vector into the room."""
        x, y = self.right
        return np.array([y, -x])

    @property
    def yaw(self) -> float:
        """Heading of something that stands with its back to this wall."""
        return float(np.arctan2(self.inward[1], self.inward[0]))

    def at(self, along: float, away: float) -> Floats:
        """The floor point `along` metres from the start and `away` metres from the wall."""
        return np.asarray(self.start + along * self.right + away * self.inward)


@dataclass
class Building:
    """Collects surfaces, lights and obstacles; keeps the drives' lines free."""

    rng: Generator
    routes: dict[str, Floats]
    surfaces: list[Surface] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    obstacles: list[Floats] = field(default_factory=list)
    things: int = 0
    textures: int = 0

    def texture(self, kind: str, density: float = 1.0, emits: bool = False, key: str = "") -> Texture:
        """A texture of its own, or with a `key` the one that all users of that key share."""
        self.textures += 1
        return Texture(kind, key or str(self.textures), density, emits)

    def add(self, *surfaces: Surface) -> None:
        """Add the surfaces of one thing."""
        self.things += 1
        self.surfaces += [replace(s, instance=self.things) for s in surfaces]

    def free(self, footprint: Floats) -> bool:
        """Whether a footprint (4, 2) is clear of the drives and of everything that stands already."""
        lines = np.concatenate(list(self.routes.values()))
        if distance_to_rectangle(lines, footprint).min() < CLEARANCE:
            return False
        grown = footprint.mean(axis=0) + 0.98 * (footprint - footprint.mean(axis=0))
        return not any(_overlap(grown, other) for other in self.obstacles)

    def stand(self, centre: Floats, size: tuple[float, float], yaw: float) -> bool:
        """Claim floor for a thing of size (depth, width); False if it is not free."""
        footprint = rectangle(centre, size, yaw)
        if not self.free(footprint):
            return False
        self.obstacles.append(footprint)
        return True

    def room(self, room: Room, openings: Sequence[Opening]) -> list[WallPiece]:
        """Floor, ceiling and walls of a room; returns its walls' full-height pieces."""
        floor, top = self.texture(room.floor), self.texture("ceiling", 0.6)
        self.add(level(room.low, room.high, 0.0, floor, Label.FLOOR))
        self.add(level(room.low, room.high, HEIGHT, top, Label.CEILING, faces_up=False))
        pieces: list[WallPiece] = []
        for start, end in _sides(room):
            pieces += self._wall(start, end, room, openings)
        return pieces

    def _wall(self, start: Floats, end: Floats, room: Room, openings: Sequence[Opening]) -> list[WallPiece]:
        side = WallPiece(start, end)
        cuts = sorted(c for c in (_cut(side, o) for o in openings) if c is not None)
        edges = [0.0, *(x for cut in cuts for x in cut), side.length]
        pieces = []
        for k, (a, b) in enumerate(pairwise(edges)):
            if b - a < 1e-6:
                continue
            lintel = k % 2 == 1
            low = DOOR_HEIGHT if lintel else 0.0
            left, right = side.at(a, 0.0), side.at(b, 0.0)
            self.add(upright(left, right, HEIGHT, low, self.texture(room.wall), Label.WALL))
            if not lintel:
                pieces.append(WallPiece(left, right))
        return pieces

    def opening(self, opening: Opening) -> None:
        """The jambs, lintel and threshold of a passage."""
        (x0, y0), (x1, y1) = opening.low, opening.high
        jamb = self.texture("wood", key="jamb")
        deep_x = x1 - x0 < y1 - y0
        if deep_x:
            sides = [((x0, y1), (x1, y1)), ((x1, y0), (x0, y0))]
        else:
            sides = [((x0, y0), (x0, y1)), ((x1, y1), (x1, y0))]
        self.add(
            *(upright(left, right, DOOR_HEIGHT, 0.0, jamb, Label.DOOR) for left, right in sides),
            level(opening.low, opening.high, 0.0, jamb, Label.FLOOR),
            level(opening.low, opening.high, DOOR_HEIGHT, jamb, Label.DOOR, faces_up=False),
        )

    def hang(
        self,
        wall: WallPiece,
        along: float,
        size: tuple[float, float],
        base: float,
        texture: Texture,
        label: Label,
    ) -> None:
        """A flat thing of size (width, height) on a wall, its middle `along` from the wall's start."""
        thin = 0.03
        rim = self.texture("metal", 0.5, key="rim")
        textures = {"front": texture, "side": rim}
        centre = wall.at(along, thin / 2)
        faces = box(centre, (thin, size[0], size[1]), wall.yaw, textures, label, base)
        self.add(*faces)

    def lamp(self, x: float, y: float, channel: int) -> None:
        """A light panel under the ceiling."""
        panel = self.texture("lamp", emits=True, key="lamp")
        low, high = (x - 0.3, y - 0.3), (x + 0.3, y + 0.3)
        self.add(level(low, high, HEIGHT - 0.01, panel, Label.LAMP, faces_up=False))
        self.lights.append(Light(np.array([x, y, HEIGHT - 0.1]), channel))

    def plan(self) -> Plan:
        """The finished plan."""
        obstacles = np.stack(self.obstacles) if self.obstacles else np.zeros((0, 4, 2))
        return Plan(tuple(self.surfaces), tuple(self.lights), self.routes, obstacles)


def _sides(room: Room) -> list[tuple[Floats, Floats]]:
    """Floor lines of the four walls, left to right for a viewer inside."""
    (x0, y0), (x1, y1) = room.low, room.high
    corners = [np.array(c) for c in ((x0, y1), (x1, y1), (x1, y0), (x0, y0))]
    return [(corners[k], corners[(k + 1) % 4]) for k in range(4)]


def _cut(side: WallPiece, opening: Opening) -> tuple[float, float] | None:
    """Where an opening cuts a wall (from, to along it), or None if it does not touch it."""
    corners = rectangle_of(opening)
    away = (corners - side.start) @ side.inward
    along = (corners - side.start) @ side.right
    touching = np.abs(away) < 1e-6
    if touching.sum() != 2 or along.max() <= 0 or along.min() >= side.length:
        return None
    return float(along[touching].min()), float(along[touching].max())


def rectangle_of(opening: Opening) -> Floats:
    """Corners (4, 2)."""
    (x0, y0), (x1, y1) = opening.low, opening.high
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def rectangle(centre: Floats, size: tuple[float, float], yaw: float) -> Floats:
    """Corners (4, 2) of a rectangle of size (along x, along y) turned by yaw, counter-clockwise."""
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    half = 0.5 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size
    return np.asarray(centre + half @ turn.T)


def distance_to_rectangle(points: Floats, corners: Floats) -> Floats:
    """Distance (N,) of floor points (N, 2) to a rectangle (4, 2), 0 inside."""
    x_axis, y_axis = corners[1] - corners[0], corners[3] - corners[0]
    half = 0.5 * np.array([np.linalg.norm(x_axis), np.linalg.norm(y_axis)])
    axes = np.stack([x_axis / (2 * half[0]), y_axis / (2 * half[1])], axis=1)
    local = np.abs((points - corners.mean(axis=0)) @ axes) - half
    return np.asarray(np.linalg.norm(np.maximum(local, 0), axis=1))


def _overlap(one: Floats, other: Floats) -> bool:
    """Whether two rectangles (4, 2) overlap (separating axes)."""
    for corners in (one, other):
        for axis in (corners[1] - corners[0], corners[3] - corners[0]):
            a, b = one @ axis, other @ axis
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True
