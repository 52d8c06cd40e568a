"""Four rooms of an office, 9.6 x 7 m: a large one, a meeting room, a workshop and a bare store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relpose_ros.datasets.simulate import furniture
from relpose_ros.datasets.simulate.building import Building, Opening, Room, WallPiece
from relpose_ros.datasets.simulate.furnishing import line_wall
from relpose_ros.datasets.simulate.light_maps import FIRST_LAMP
from relpose_ros.datasets.simulate.painters import seeded
from relpose_ros.datasets.simulate.trajectory import smooth_line
from relpose_ros.datasets.simulate.world import Plan

OFFICE = Room((0.0, 0.0), (5.6, 7.0), "rough_plaster", "carpet")
MEETING = Room((5.7, 4.3), (9.6, 7.0), "brick", "wood")
WORKSHOP = Room((5.7, 1.6), (9.6, 4.2), "rough_plaster", "tiles")
STORE = Room((5.7, 0.0), (9.6, 1.5), "plaster", "tiles")

OPENINGS = (
    Opening((5.6, 5.0), (5.7, 6.0)),
    Opening((5.6, 2.4), (5.7, 3.4)),
    Opening((7.9, 4.2), (8.9, 4.3)),
    Opening((5.6, 0.3), (5.7, 1.25)),
)

MAPPING = (
    (1.2, 3.0), (1.2, 1.2), (4.4, 1.1), (4.5, 2.8), (6.4, 2.9), (8.6, 2.75),
    (8.4, 3.6), (8.35, 5.3), (6.7, 5.3), (5.3, 5.5), (4.3, 5.9), (1.3, 5.9),
    (1.15, 3.4), (1.3, 1.3), (4.2, 1.25), (4.4, 3.0), (4.45, 5.4), (2.8, 5.8),
)  # fmt: skip
QUERY = (
    (3.4, 5.7), (1.5, 5.6), (1.4, 3.4), (1.45, 1.5), (3.6, 1.4), (4.2, 2.7),
    (5.6, 2.85), (7.0, 2.75), (8.2, 2.9), (8.5, 3.9), (8.2, 5.1), (6.9, 5.5),
    (5.4, 5.4), (4.5, 4.6), (4.25, 2.0), (4.6, 0.85), (5.8, 0.8), (8.9, 0.75),
)  # fmt: skip
"""The query drive ends in the store, which the mapping drive never enters and whose walls are blank."""


def office(seed: int) -> Plan:
    """Design the office; everything that is not the walls follows from `seed`."""
    routes = {"mapping": smooth_line(np.array(MAPPING)), "query": smooth_line(np.array(QUERY))}
    b = Building(seeded(seed, "office"), routes)
    rooms = {room: b.room(room, OPENINGS) for room in (OFFICE, MEETING, WORKSHOP, STORE)}
    for opening in OPENINGS:
        b.opening(opening)
    _windows(b, rooms[OFFICE], rooms[MEETING], rooms[WORKSHOP])
    _islands(b)
    for room in (OFFICE, MEETING, WORKSHOP):
        for wall in rooms[room]:
            line_wall(b, wall)
    for k, (x, y) in enumerate(
        [(1.6, 1.9), (3.9, 1.9), (1.6, 5.1), (3.9, 5.1), (7.6, 5.6), (7.6, 2.9), (7.6, 0.75)]
    ):
        b.lamp(x, y, FIRST_LAMP + k // 2)
    return b.plan()


def _windows(b: Building, *rooms: Sequence[WallPiece]) -> None:
    """Windows in outer walls: two to the west, two to the north, one to the east."""
    office_, meeting, workshop = rooms
    west = next(w for w in office_ if w.start[0] == 0 and w.end[0] == 0)
    for along in (1.7, 5.2):
        furniture.window(b, west, along, 1.6)
    north = next(w for w in office_ if w.start[1] == 7.0 and w.end[1] == 7.0)
    furniture.window(b, north, 3.9, 1.5)
    east = next(w for w in meeting if w.start[0] == 9.6 and w.end[0] == 9.6)
    furniture.window(b, east, 1.35, 1.5)
    furniture.closed_door(b, next(w for w in workshop if w.start[0] == 9.6 and w.end[0] == 9.6), 1.2)


def _islands(b: Building) -> None:
    """Desks and chairs in the middle of the rooms."""
    tilt = float(b.rng.uniform(0.05, 0.2)) * float(b.rng.choice([-1, 1]))
    for k, y in enumerate((2.75, 4.25)):
        for side in (1.0, -1.0):
            yaw = tilt * (1 - k) + (0.0 if side > 0 else np.pi)
            centre = np.array([2.85 + 0.36 * side * np.cos(tilt), y + 0.36 * side * np.sin(tilt) * (1 - k)])
            furniture.desk(b, centre, (0.7, 1.35), yaw)
            ahead = np.array([np.cos(yaw), np.sin(yaw)])
            furniture.chair(b, centre + 0.62 * ahead, yaw + np.pi + b.rng.uniform(-0.5, 0.5))
    if b.stand(np.array([7.2, 6.2]), (0.7, 1.1), 0.1):
        furniture.table(b, np.array([7.2, 6.2]), (0.7, 1.1), 0.1, 0.74)
        furniture.clutter(b, np.array([7.2, 6.2]), (0.6, 1.0), 0.1, 0.74, 4)
