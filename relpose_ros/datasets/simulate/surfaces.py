"""Flat rectangles and boxes made of them: all the geometry there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Label(IntEnum):
    """Semantic class of a surface. 0 is where nothing was hit."""

    NOTHING = 0
    FLOOR = 1
    WALL = 2
    CEILING = 3
    DOOR = 4
    WINDOW = 5
    POSTER = 6
    SHELF = 7
    TABLE = 8
    CABINET = 9
    CRATE = 10
    SCREEN = 11
    LAMP = 12
    CLUTTER = 13


@dataclass(frozen=True)
class Texture:
    """What is painted on a surface: painter `kind`, and `key` that tells its specimens apart.

    Surfaces with the same texture look the same, pixel by pixel. `emits`: it shines by itself.
    """

    kind: str
    key: str = ""
    density: float = 1.0
    emits: bool = False


@dataclass(frozen=True)
class Surface:
    """A rectangle in the map: points `corner + u * along + v * down`, u and v in [0, 1], metres.

    (u, v) run right and down in the texture as somebody in front of the surface sees it; only
    that side, to which `normal` points, is visible. `along` and `down` are perpendicular.
    """

    corner: Array
    along: Array
    down: Array
    texture: Texture
    label: Label
    instance: int = 0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in metres."""
        return float(np.linalg.norm(self.along)), float(np.linalg.norm(self.down))

    @property
    def normal(self) -> Array:
        """Unit vector (3,) towards the visible side."""
        across: Array = np.cross(self.down, self.along)
        return across / np.linalg.norm(across)


def upright(
    start: ArrayLike, end: ArrayLike, top: float, bottom: float, texture: Texture, label: Label
) -> Surface:
    """A vertical rectangle over the floor line from `start` (x, y) to `end`.

    Seen from its front, `start` is on the left.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = np.array([*(b - a), 0.0])
    return Surface(np.array([*a, top]), along, np.array([0.0, 0.0, bottom - top]), texture, label)


def level(
    low: ArrayLike, high: ArrayLike, height: float, texture: Texture, label: Label, faces_up: bool = True
) -> Surface:
    """A horizontal rectangle over [low, high] (x, y), facing up or down."""
    (x0, y0), (x1, y1) = np.asarray(low, float), np.asarray(high, float)
    if faces_up:
        corner, down = [x0, y1, height], [0.0, y0 - y1, 0.0]
    else:
        corner, down = [x0, y0, height], [0.0, y1 - y0, 0.0]
    return Surface(np.array(corner), np.array([x1 - x0, 0.0, 0.0]), np.array(down), texture, label)


def box(
    centre: ArrayLike,
    size: ArrayLike,
    yaw: float,
    textures: Mapping[str, Texture],
    label: Label,
    bottom: float = 0.0,
) -> list[Surface]:
    """A box standing at `centre` (x, y) on height `bottom`: depth (x), width (y), height (z), turned by yaw.

    `textures` has "side" and, if they differ, "front" (+x), "back", "top", "under". A face whose
    texture is not to be had ("under" is never asked for twice) is left out.
    """
    depth, width, height = np.asarray(size, float)
    c, s = np.cos(yaw), np.sin(yaw)
    x_axis, y_axis = np.array([c, s]), np.array([-s, c])
    middle = np.asarray(centre, float)

    def corner(x: float, y: float) -> Array:
        return np.asarray(middle + x * depth / 2 * x_axis + y * width / 2 * y_axis)

    top = bottom + height
    side = textures["side"]
    # Seen from its front, the left end of the +x face is at -y.
    walls = {"front": (1, -1, 1, 1), "left": (1, 1, -1, 1), "back": (-1, 1, -1, -1), "right": (-1, -1, 1, -1)}
    faces = [
        upright(corner(x0, y0), corner(x1, y1), top, bottom, textures.get(name, side), label)
        for name, (x0, y0, x1, y1) in walls.items()
    ]
    # A lid is read from the front: its right is +y, its near edge the front.
    along, toward = np.array([*(width * y_axis), 0.0]), np.array([*(depth * x_axis), 0.0])
    lid = np.array([*corner(-1, -1), top])
    faces.append(Surface(lid, along, toward, textures.get("top", side), label))
    if bottom > 0:
        base = np.array([*corner(1, -1), bottom])
        faces.append(Surface(base, along, -toward, textures.get("under", side), label))
    return faces
