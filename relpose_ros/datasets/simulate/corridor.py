"""A corridor of equal doors: places that look alike, on purpose."""

from __future__ import annotations

import numpy as np

from relpose_ros.datasets.simulate import furniture
from relpose_ros.datasets.simulate.building import Building, Room
from relpose_ros.datasets.simulate.light_maps import FIRST_LAMP
from relpose_ros.datasets.simulate.painters import seeded
from relpose_ros.datasets.simulate.surfaces import Label, Texture, upright
from relpose_ros.datasets.simulate.trajectory import smooth_line
from relpose_ros.datasets.simulate.world import Plan

LENGTH, WIDTH, BAY = 24.0, 2.2, 2.4
MAPPING = [(1.0, 0.9), (12.0, 0.95), (23.0, 0.9), (23.1, 1.3), (12.0, 1.25), (1.0, 1.3)]
QUERY = [(2.0, 1.25), (9.0, 1.0), (17.0, 1.2), (22.4, 1.0), (22.5, 1.3), (16.0, 1.1), (10.0, 1.2)]


def corridor(seed: int) -> Plan:
    """Ten bays, each the same, pixel by pixel; only the ends and three posters tell where one is."""
    routes = {"mapping": smooth_line(np.array(MAPPING)), "query": smooth_line(np.array(QUERY))}
    b = Building(seeded(seed, "corridor"), routes)
    room = Room((0.0, 0.0), (LENGTH, WIDTH), "rough_plaster", "carpet")
    north, east, south, west = b.room(room, ())
    bay, leaf = Texture("rough_plaster", "bay"), Texture("door", "equal")
    sign = Texture("poster", "equal sign", 1.5)
    for wall in (north, south):
        for k in range(round(LENGTH / BAY)):
            left = wall.at(k * BAY, 0.005)
            b.add(upright(left, wall.at((k + 1) * BAY, 0.005), 2.7, 0.0, bay, Label.WALL))
            furniture.closed_door(b, wall, (k + 0.5) * BAY, leaf)
            b.hang(wall, (k + 0.5) * BAY + 0.75, (0.3, 0.4), 1.35, sign, Label.POSTER)
    for wall, k in ((north, 2), (south, 5), (north, 7)):
        b.hang(wall, k * BAY, (0.5, 0.7), 1.1, b.texture("poster", 1.5), Label.POSTER)
    furniture.window(b, east, WIDTH / 2, 1.4)
    furniture.bookshelf(b, west, WIDTH / 2, 1.2)
    for k in range(round(LENGTH / BAY)):
        b.lamp((k + 0.5) * BAY, WIDTH / 2, FIRST_LAMP + k % 2)
    return b.plan()
