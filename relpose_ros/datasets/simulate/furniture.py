"""Things that stand on the floor. Each builder returns False if its place is not free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.building import Building, WallPiece
from relpose_ros.datasets.simulate.light_maps import DAYLIGHT, Light
from relpose_ros.datasets.simulate.surfaces import Label, Surface, Texture, box

Floats = NDArray[np.float64]


def bookshelf(b: Building, wall: WallPiece, along: float, width: float) -> bool:
    """A full shelf with its back to a wall."""
    height, depth = b.rng.uniform(1.7, 2.2), 0.34
    centre = wall.at(along, depth / 2)
    if not b.stand(centre, (depth, width), wall.yaw):
        return False
    textures = {"front": b.texture("books", 1.3), "side": b.texture("wood", 0.6)}
    b.add(*box(centre, (depth, width, height), wall.yaw, textures, Label.SHELF))
    return True


def cabinet(b: Building, wall: WallPiece, along: float, width: float) -> bool:
    """A low cabinet with a few things on it and often a poster above."""
    height, depth = b.rng.uniform(0.75, 1.15), 0.42
    centre = wall.at(along, depth / 2)
    if not b.stand(centre, (depth, width), wall.yaw):
        return False
    textures = {"front": b.texture("drawers"), "side": b.texture("wood", 0.7)}
    b.add(*box(centre, (depth, width, height), wall.yaw, textures, Label.CABINET))
    clutter(b, centre, (0.8 * depth, 0.9 * width), wall.yaw, height, 3)
    if b.rng.random() < 0.75:
        wide = min(width, b.rng.uniform(0.6, 1.1))
        size = (wide, b.rng.uniform(0.5, 0.75))
        b.hang(wall, along, size, height + 0.4, b.texture("poster", 1.5), Label.POSTER)
    return True


def crates(b: Building, wall: WallPiece, along: float, width: float) -> bool:
    """One to three crates on top of each other, not quite straight."""
    side = min(width, 0.6)
    yaw = wall.yaw + b.rng.uniform(-0.25, 0.25)
    centre = wall.at(along, 0.62 * side)
    if not b.stand(centre, (side, side), yaw):
        return False
    bottom = 0.0
    for _ in range(int(b.rng.integers(1, 4))):
        size = side * b.rng.uniform(0.75, 1.0)
        textures = {"side": b.texture("crate"), "top": b.texture("wood", 0.8)}
        b.add(*box(centre, (size, size, 0.8 * size), yaw, textures, Label.CRATE, bottom))
        bottom += 0.8 * size
        yaw += b.rng.uniform(-0.2, 0.2)
    return True


def desk_at_wall(b: Building, wall: WallPiece, along: float, width: float) -> bool:
    """A desk with screens and a board above it."""
    depth = 0.65
    centre = wall.at(along, depth / 2 + 0.01)
    # The front of the desk is where one sits, which is the room.
    if not desk(b, centre, (depth, width), wall.yaw):
        return False
    kind = "whiteboard" if b.rng.random() < 0.5 else "poster"
    b.hang(wall, along, (0.9 * width, 0.65), 1.45, b.texture(kind, 1.3), Label.POSTER)
    return True


def desk(b: Building, centre: Floats, size: tuple[float, float], yaw: float) -> bool:
    """A table of size (depth, width) with one or two screens at its back, and clutter."""
    if not b.stand(centre, size, yaw):
        return False
    table(b, centre, size, yaw, 0.74)
    forward, sideways = _axes(yaw)
    count = 2 if size[1] > 1.3 else 1
    for k in range(count):
        offset = (k - (count - 1) / 2) * 0.62 + b.rng.uniform(-0.03, 0.03)
        place = centre - 0.2 * size[0] * forward + offset * sideways
        turn = yaw + b.rng.uniform(-0.2, 0.2)
        plain = b.texture("metal", 0.6, key="plastic")
        glass = b.texture("screen", 1.4, emits=True)
        textures = {"front": glass, "side": plain, "back": b.texture("drawers", 0.7)}
        b.add(
            *box(place, (0.05, 0.54, 0.33), turn, textures, Label.SCREEN, 0.86),
            *box(place, (0.12, 0.2, 0.12), turn, {"side": plain}, Label.SCREEN, 0.74),
        )
    clutter(b, centre + 0.25 * size[0] * forward, (0.4 * size[0], 0.9 * size[1]), yaw, 0.74, 3)
    return True


def table(b: Building, centre: Floats, size: tuple[float, float], yaw: float, height: float) -> None:
    """A top on four legs."""
    wood = b.texture("wood", 0.8)
    faces: list[Surface] = []
    top = {"top": b.texture("desktop", 1.2), "side": wood}
    faces += box(centre, (*size, 0.04), yaw, top, Label.TABLE, height - 0.04)
    forward, sideways = _axes(yaw)
    leg = b.texture("metal", 0.6, key="leg")
    for x in (-0.46, 0.46):
        for y in (-0.47, 0.47):
            foot = centre + x * size[0] * forward + y * size[1] * sideways
            faces += box(foot, (0.05, 0.05, height - 0.04), yaw, {"side": leg}, Label.TABLE)
    b.add(*faces)


def chair(b: Building, centre: Floats, yaw: float) -> bool:
    """A seat, a back and a foot; it faces yaw."""
    if not b.stand(centre, (0.48, 0.48), yaw):
        return False
    cloth, leg = b.texture("fabric", 0.9), b.texture("metal", 0.6, key="leg")
    forward, _ = _axes(yaw)
    b.add(
        *box(centre, (0.46, 0.46, 0.08), yaw, {"side": cloth}, Label.CLUTTER, 0.42),
        *box(centre - 0.2 * forward, (0.06, 0.44, 0.5), yaw, {"side": cloth}, Label.CLUTTER, 0.5),
        *box(centre, (0.08, 0.08, 0.42), yaw, {"side": leg}, Label.CLUTTER),
        *box(centre, (0.42, 0.42, 0.06), yaw, {"side": leg}, Label.CLUTTER),
    )
    return True


def clutter(
    b: Building, centre: Floats, size: tuple[float, float], yaw: float, height: float, count: int
) -> None:
    """Small boxes (parcels, binders, devices) on something."""
    forward, sideways = _axes(yaw)
    kinds = ("poster", "crate", "fabric", "books", "drawers")
    for k in range(count):
        along = (k + 0.5) / count - 0.5
        place = centre + along * size[1] * sideways + b.rng.uniform(-0.2, 0.2) * size[0] * forward
        wide, deep = b.rng.uniform(0.1, np.clip(0.8 * size[1] / count, 0.1, 0.28)), b.rng.uniform(0.08, 0.2)
        kind = str(b.rng.choice(kinds))
        design = b.texture(kind, 1.4)
        shape = (deep, wide, b.rng.uniform(0.08, 0.32))
        b.add(*box(place, shape, yaw + b.rng.uniform(-0.5, 0.5), {"side": design}, Label.CLUTTER, height))


def window(b: Building, wall: WallPiece, along: float, width: float) -> None:
    """A window with its daylight."""
    pane = b.texture("window", 1.0, emits=True)
    b.hang(wall, along, (width, 1.25), 0.95, pane, Label.WINDOW)
    spot = np.array([*wall.at(along, 0.25), 1.7])
    inward = np.array([*wall.inward, -0.25])
    b.lights.append(Light(spot, DAYLIGHT, inward / np.linalg.norm(inward)))


def closed_door(b: Building, wall: WallPiece, along: float, design: Texture | None = None) -> None:
    """A door that leads nowhere; with a `design` it looks like all others of that design."""
    b.hang(wall, along, (0.95, 2.08), 0.0, design or b.texture("door"), Label.DOOR)


def _axes(yaw: float) -> tuple[Floats, Floats]:
    """Unit vectors ahead and to the left."""
    return np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
