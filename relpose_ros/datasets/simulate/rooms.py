"""Furnished rooms of which nothing stays from seed to seed: walls, doors, drives, furniture, materials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relpose_ros.datasets.simulate import furniture
from relpose_ros.datasets.simulate.building import Building, Room, WallPiece
from relpose_ros.datasets.simulate.floor_plan import WALL, FloorPlan, draw_floor_plan
from relpose_ros.datasets.simulate.furnishing import MIXED, line_wall
from relpose_ros.datasets.simulate.light_maps import FIRST_LAMP
from relpose_ros.datasets.simulate.painters import seeded
from relpose_ros.datasets.simulate.tours import Tour
from relpose_ros.datasets.simulate.trajectory import smooth_line
from relpose_ros.datasets.simulate.world import Plan

INSETS = {"mapping": 1.05, "query": 1.3}
"""How far (m) the drives keep from the walls: what stands there is 0.65 m deep at most."""

LAMP_SPACING = 2.8


def rooms(seed: int) -> Plan:
    """Design two to four rooms; everything follows from `seed`."""
    rng = seeded(seed, "floor plan")
    plan = draw_floor_plan(rng)
    turn = int(rng.choice([-1, 1]))
    starts = rng.permutation(len(plan.rooms)).tolist()
    routes = {}
    for (name, inset), start, sense in zip(INSETS.items(), starts[:2], (turn, -turn), strict=True):
        routes[name] = smooth_line(Tour(plan, inset, sense, rng).corners(start))
    b = Building(seeded(seed, "rooms"), routes)
    openings = [door.opening for door in plan.doors]
    walls = [b.room(room, openings) for room in plan.rooms]
    for opening in openings:
        b.opening(opening)
    for number, (room, around) in enumerate(zip(plan.rooms, walls, strict=True)):
        _outer_walls(b, plan, around)
        _middle(b, room)
        pieces = [MIXED[k] for k in b.rng.integers(len(MIXED), size=5).tolist()]
        for wall in around:
            line_wall(b, wall, pieces)
        _lamps(b, room, FIRST_LAMP + number)
    return b.plan()


def _outer_walls(b: Building, plan: FloorPlan, walls: Sequence[WallPiece]) -> None:
    """Windows, and now and then a door, in walls with nothing behind them."""
    low = np.min([room.low for room in plan.rooms], axis=0)
    high = np.max([room.high for room in plan.rooms], axis=0)
    for wall in walls:
        outside = wall.at(0.5 * wall.length, -WALL)
        if wall.length < 2.2 or ((outside > low) & (outside < high)).all():
            continue
        chance, along = b.rng.random(), float(b.rng.uniform(1.0, wall.length - 1.0))
        if chance < 0.6:
            furniture.window(b, wall, along, float(b.rng.uniform(1.1, 1.8)))
        elif chance < 0.8:
            furniture.closed_door(b, wall, along)


def _middle(b: Building, room: Room) -> None:
    """Desks with their chairs, or a table, in the middle of a room if the drives leave it free."""
    middle = (np.array(room.low) + room.high) / 2
    yaw = float(b.rng.uniform(0, 2 * np.pi))
    ahead = np.array([np.cos(yaw), np.sin(yaw)])
    if b.rng.random() < 0.3:
        if b.stand(middle, (0.7, 1.1), yaw):
            furniture.table(b, middle, (0.7, 1.1), yaw, 0.74)
            furniture.clutter(b, middle, (0.6, 1.0), yaw, 0.74, 4)
        return
    for side in (1.0, -1.0):
        centre, turned = middle + 0.36 * side * ahead, yaw + (0.0 if side > 0 else np.pi)
        if furniture.desk(b, centre, (0.7, float(b.rng.uniform(1.0, 1.4))), turned):
            behind = centre + 0.62 * side * ahead
            furniture.chair(b, behind, turned + np.pi + float(b.rng.uniform(-0.5, 0.5)))


def _lamps(b: Building, room: Room, channel: int) -> None:
    """A grid of panels that are switched together."""
    low, high = np.array(room.low), np.array(room.high)
    counts = np.maximum(np.rint((high - low) / LAMP_SPACING), 1).astype(int)
    columns, rows = (np.linspace(low[k], high[k], 2 * counts[k] + 1)[1::2].tolist() for k in (0, 1))
    for x in columns:
        for y in rows:
            b.lamp(x, y, channel)
