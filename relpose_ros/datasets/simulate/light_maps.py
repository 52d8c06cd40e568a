"""Light that falls on the surfaces, computed once on a coarse grid, one channel for each light.

A frame's light is a weighted, coloured sum of the channels, so that lamps can be dimmed and
clouds can pass without computing anything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.surfaces import Surface

EMISSION, AMBIENT, AMBIENT_X, AMBIENT_Y, DAYLIGHT, FIRST_LAMP = range(6)

SPACING = 0.2
MOST_NODES = 64
WIDTH = 512

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """A small light at `position` (3,) m. `channel` says with which others it is switched.

    `direction` (3,): where a window sends its light; None for a lamp, which shines downwards all round.
    """

    position: NDArray[np.float64]
    channel: int
    direction: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class LightMaps:
    """Light on all surfaces: `maps` (H, WIDTH, channels), and each surface's `place` (N, 4) in them.

    Texture coordinate (u, v) lies at (x + u * w, y + v * h) of `place` = x, y, w, h. `points` and
    `normals` (H, WIDTH, 3) say where in the map of the robot a pixel of the light maps lies.
    """

    maps: Floats
    place: Floats
    points: Floats
    normals: Floats

    def lit(self, weights: Floats, spot: NDArray[np.float64] | None = None, strength: float = 0.0) -> Floats:
        """Light (H, WIDTH, 3) BGR of `weights` (channels, 3), and of one more lamp at `spot` (3,)."""
        light = self.maps @ weights
        if spot is not None and strength > 0:
            way = spot.astype(np.float32) - self.points
            square = np.einsum("hwi,hwi->hw", way, way)
            facing = np.maximum(np.einsum("hwi,hwi->hw", way, self.normals), 0)
            light *= (1 + strength * facing / (np.sqrt(square) * (0.5 + square)))[..., None]
        return np.ascontiguousarray(light, np.float32)


def bake(surfaces: Sequence[Surface], lights: Sequence[Light]) -> LightMaps:
    """Light every surface with every light."""
    counts = [_nodes(s) for s in surfaces]
    place, height = _pack(counts)
    channels = max([DAYLIGHT, *(light.channel for light in lights)]) + 1
    maps = np.zeros((height, WIDTH, channels), np.float32)
    points, normals, pixels = _all_nodes(surfaces, counts, place)
    values = np.zeros((len(points), channels), np.float32)
    values[:, AMBIENT] = 1.0
    values[:, AMBIENT_X] = 0.5 + 0.5 * normals[:, 0]
    values[:, AMBIENT_Y] = 0.5 + 0.5 * normals[:, 1]
    blockers = _blockers(surfaces)
    for light in lights:
        values[:, light.channel] += _falling(light, points, normals, blockers)
    emits = np.repeat([s.texture.emits for s in surfaces], [w * h for w, h in counts])
    values[emits] = 0.0
    values[emits, EMISSION] = 1.0
    rows, columns = pixels[:, 1], pixels[:, 0]
    maps[rows, columns] = values
    where, facing = (np.zeros((height, WIDTH, 3), np.float32) for _ in range(2))
    where[rows, columns], facing[rows, columns] = points, normals
    return LightMaps(maps, place, where, facing)


def _nodes(surface: Surface) -> tuple[int, int]:
    width, height = (int(np.clip(np.ceil(s / SPACING) + 1, 2, MOST_NODES)) for s in surface.size)
    return width, height


def _pack(counts: Sequence[tuple[int, int]]) -> tuple[Floats, int]:
    """Rectangles on shelves: place (N, 4) as (x, y, columns - 1, rows - 1), and the height used."""
    place = np.zeros((len(counts), 4), np.float32)
    x = y = shelf = 0
    for i in sorted(range(len(counts)), key=lambda i: -counts[i][1]):
        w, h = counts[i]
        if x + w > WIDTH:
            x, y, shelf = 0, y + shelf, 0
        place[i] = x, y, w - 1, h - 1
        x, shelf = x + w, max(shelf, h)
    return place, y + shelf


def _all_nodes(
    surfaces: Sequence[Surface], counts: Sequence[tuple[int, int]], place: Floats
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Points just off the surfaces (M, 3), normals (M, 3), and pixels (M, 2) of the maps."""
    points, normals, pixels = [], [], []
    for surface, (w, h), (x, y, _, _) in zip(surfaces, counts, place, strict=True):
        i, j = np.meshgrid(np.arange(w), np.arange(h))
        # Nodes on the very rim would lie inside the neighbouring surface.
        u, v = (np.clip(k / (n - 1), 0.04, 0.96).ravel()[:, None] for k, n in ((i, w), (j, h)))
        normal = surface.normal
        points.append(surface.corner + u * surface.along + v * surface.down + 0.01 * normal)
        normals.append(np.broadcast_to(normal, (w * h, 3)))
        pixels.append(np.stack([i.ravel() + int(x), j.ravel() + int(y)], axis=1))
    stacked = np.concatenate(points).astype(np.float32), np.concatenate(normals).astype(np.float32)
    return *stacked, np.concatenate(pixels)


def _blockers(surfaces: Sequence[Surface]) -> tuple[Floats, Floats, Floats, Floats]:
    """Corner, normal and the edges divided by their squared length, each (N, 3)."""
    corner = np.stack([s.corner for s in surfaces])
    normal = np.stack([s.normal for s in surfaces])
    edges = [np.stack([getattr(s, name) for s in surfaces]) for name in ("along", "down")]
    across = [e / np.square(e).sum(axis=1, keepdims=True) for e in edges]
    return tuple(np.asarray(a, np.float32) for a in (corner, normal, *across))  # type: ignore[return-value]


def _falling(light: Light, points: Floats, normals: Floats, blockers: tuple[Floats, ...]) -> Floats:
    """Light (M,) that arrives: Lambert, softened inverse square, shadows."""
    way = light.position.astype(np.float32) - points
    far = np.linalg.norm(way, axis=1)
    way /= far[:, None]
    cosine = np.clip(np.einsum("ij,ij->i", normals, way), 0, 1)
    if light.direction is None:
        sent = 0.35 + 0.65 * np.clip(way[:, 2], 0, 1)
    else:
        sent = np.clip(-way @ light.direction.astype(np.float32), 0, 1)
    value = cosine * sent / (1 + (far / 2.0) ** 2)
    lit = np.flatnonzero(value > 0.004)
    for chunk in np.array_split(lit, max(1, len(lit) // 128)):
        value[chunk[_shadowed(points[chunk], way[chunk], far[chunk], blockers)]] = 0
    return np.asarray(value, np.float32)


def _shadowed(points: Floats, way: Floats, far: Floats, blockers: tuple[Floats, ...]) -> NDArray[np.bool_]:
    """Whether something lies between the points (M, 3) and the light, `far` away along `way`."""
    corner, normal, along, down = blockers
    slope = _products(way, normal)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (np.einsum("ij,ij->i", normal, corner) - _products(points, normal)) / slope
        u, v = (
            _products(points, edge) - np.einsum("ij,ij->i", edge, corner) + distance * _products(way, edge)
            for edge in (along, down)
        )
        inside = (np.minimum(u, v) > 0) & (np.maximum(u, v) < 1)
        between = (distance > 0.005) & (distance < far[:, None] - 0.03)
    return np.asarray((inside & between).any(axis=1))


def _products(rows: Floats, others: Floats) -> Floats:
    """Scalar products (M, N) of vectors (M, 3) and (N, 3).

    Not by BLAS, whose threads wait for each other longer than so few terms take. einsum is fast if
    its inner loop runs along memory.
    """
    return np.asarray(np.einsum("mk,kn->mn", rows, np.ascontiguousarray(others.T)))
