"""Corridors whose doors are exact twins, and as much as one likes that tells them apart."""

from __future__ import annotations

from typing import Literal

import numpy as np

from relpose_ros.datasets.simulate import furniture
from relpose_ros.datasets.simulate.building import HEIGHT, Building, Room, WallPiece
from relpose_ros.datasets.simulate.light_maps import FIRST_LAMP
from relpose_ros.datasets.simulate.painters import seeded
from relpose_ros.datasets.simulate.surfaces import Label, Texture, level, upright
from relpose_ros.datasets.simulate.trajectory import smooth_line
from relpose_ros.datasets.simulate.world import Plan

BAY, BAYS, WIDTH = 2.4, 8, 3.0
LOBBY = BAYS * BAY
"""From here on (metres along x) nothing has a twin."""

LENGTH = LOBBY + 4.8
MAPPING = [(1.2, 1.3), (12.0, 1.3), (22.6, 1.3), (22.8, 1.7), (12.0, 1.7), (1.2, 1.7)]
QUERY = [(2.0, 1.45), (9.0, 1.2), (16.0, 1.5), (22.4, 1.3), (22.5, 1.6), (15.0, 1.8), (7.0, 1.6), (3.0, 1.7)]

Distinct = Literal["none", "little", "much"]


def doors(seed: int, distinct: Distinct) -> Plan:
    """Eight bays, each the last one moved by `BAY` metres along x, then a lobby that is like nothing else.

    `distinct`: what tells bays apart. "none": nothing at all, floor and ceiling included; "little": a number
    plate beside each door; "much": a poster of its own as well.
    """
    routes = {"mapping": smooth_line(np.array(MAPPING)), "query": smooth_line(np.array(QUERY))}
    b = Building(seeded(seed, "doors"), routes)
    north, east, south, west = b.room(Room((0.0, 0.0), (LENGTH, WIDTH), "rough_plaster", "carpet"), ())
    for k in range(BAYS):
        low, high = (k * BAY, 0.0), ((k + 1) * BAY, WIDTH)
        b.add(level(low, high, 0.004, Texture("carpet", "bay"), Label.FLOOR))
        b.add(level(low, high, HEIGHT - 0.004, Texture("ceiling", "bay", 0.6), Label.CEILING, faces_up=False))
        b.lamp((k + 0.5) * BAY, WIDTH / 2, FIRST_LAMP)
        # The walls' starts are at opposite ends.
        _bay(b, north, k * BAY, "north", distinct)
        _bay(b, south, LENGTH - (k + 1) * BAY, "south", distinct)
    _lobby(b, north, LOBBY)
    _lobby(b, south, 0.0)
    furniture.window(b, east, WIDTH / 2, 1.4)
    b.hang(west, WIDTH / 2, (1.6, 1.0), 0.9, b.texture("poster", 1.5), Label.POSTER)
    return b.plan()


def _bay(b: Building, wall: WallPiece, start: float, side: str, distinct: Distinct) -> None:
    """A bay of a wall from `start` metres along it. Bays of different sides are no twins."""
    left, right = wall.at(start, 0.005), wall.at(start + BAY, 0.005)
    b.add(upright(left, right, HEIGHT, 0.0, Texture("rough_plaster", side), Label.WALL))
    furniture.closed_door(b, wall, start + 0.5 * BAY, Texture("door", side))
    b.hang(wall, start + 0.5 * BAY + 0.75, (0.3, 0.4), 1.35, Texture("poster", side, 1.5), Label.POSTER)
    if distinct != "none":
        b.hang(wall, start + 0.5 * BAY - 0.7, (0.24, 0.16), 1.5, b.texture("poster", 1.5), Label.POSTER)
    if distinct == "much":
        b.hang(wall, start + 0.12 * BAY, (0.45, 0.65), 0.75, b.texture("poster", 1.5), Label.POSTER)


def _lobby(b: Building, wall: WallPiece, start: float) -> None:
    """What has no twin."""
    for k in range(3):
        b.hang(wall, start + 0.9 + 1.5 * k, (0.8, 1.0), 0.9, b.texture("poster", 1.5), Label.POSTER)
    for k in range(2):
        b.lamp(LOBBY + 1.2 + 2.4 * k, WIDTH / 2, FIRST_LAMP)
