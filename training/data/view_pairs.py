"""Which of many posed images to pair: by how much they see of each other, from easy to hard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]

STEP = 8
"""Every so many pixels of every so many rows are looked at."""
DEPTH_TOLERANCE = 0.1
"""A point is hidden when it is further than the depth image says by more than this share."""
WIDEST_PARALLAX = np.deg2rad(60)
"""Points that are seen from directions further apart look different, or are two sides of a thing."""
ASSUMED_DEPTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Where no depth is known: how far things may be, in units of what `typical_distance` says."""


@dataclass(frozen=True)
class Sight:
    """What a posed image sees: `points` (N, 3) in camera axes, and its depth image at every `STEP`th pixel.

    `depth` (h, w) metres, 0 where unknown, or None: `points` then are guesses all over the view's volume.
    """

    camera: Camera
    map_from_camera: Rigid
    points: Array
    depth: NDArray[np.float32] | None = None


def sight_from_depth(camera: Camera, map_from_camera: Rigid, depth: NDArray[np.float32]) -> Sight:
    """From a depth image (H, W), metres, 0 where unknown. Raises DatasetError for another size."""
    if depth.shape != (camera.height, camera.width):
        raise DatasetError(
            f"a depth image is {depth.shape[::-1]}, its camera {(camera.width, camera.height)} pixels; "
            "depth must be registered to the image"
        )
    coarse = np.ascontiguousarray(depth[::STEP, ::STEP])
    points = _grid(camera) * coarse.reshape(-1, 1)
    known = (coarse.ravel() > 0) & np.isfinite(points).all(axis=1)
    return Sight(camera, map_from_camera, points[known], coarse)


def sight_without_depth(camera: Camera, map_from_camera: Rigid, distance: float) -> Sight:
    """Things assumed at some multiples of `distance` on a coarse grid of pixels."""
    rays = _grid(camera, 4 * STEP)
    rays = rays[np.isfinite(rays).all(axis=1)]
    points = np.concatenate([rays * (distance * share) for share in ASSUMED_DEPTHS])
    return Sight(camera, map_from_camera, points)


def typical_distance(positions: Array) -> float:
    """A length that things are away from cameras at `positions` (V, 3): the median distance to their middle.

    1 where they are all in one place. A guess: cameras stand around what they look at, or drive through it.
    """
    away = np.linalg.norm(positions - np.median(positions, axis=0), axis=1)
    return float(np.median(away)) or 1.0


def overlap(first: Sight, second: Sight) -> float:
    """Share (0..1) of what either sees that the other sees, too: the smaller of both. Walls hide things."""
    return min(seen_share(first, second), seen_share(second, first))


def overlaps(sights: Sequence[Sight]) -> Array:
    """Symmetric table (V, V) of overlaps, 0 on the diagonal."""
    table = np.zeros((len(sights), len(sights)))
    for i, first in enumerate(sights):
        for j in range(i):
            table[i, j] = table[j, i] = overlap(first, sights[j])
    return table


def easy_to_hard(
    table: Array, least: float, rng: np.random.Generator, difficulties: int = 5
) -> Iterator[tuple[int, int]]:
    """Pairs with an overlap of `least` or more in `table` (V, V), each once and in a random direction.

    As many hard ones as easy ones, as long as there are: in turn from `difficulties` equal ranges of overlap.
    """
    rows, columns = np.nonzero(np.triu(table >= least, 1))
    share = (table[rows, columns] - least) / max(1.0 - least, 1e-9)
    level = np.minimum((share * difficulties).astype(int), difficulties - 1)
    waiting = [rng.permutation(np.flatnonzero(level == k)).tolist() for k in range(difficulties)]
    while any(waiting):
        for queue in filter(None, waiting):
            index = queue.pop()
            pair = int(rows[index]), int(columns[index])
            yield pair if rng.random() < 0.5 else pair[::-1]


def _grid(camera: Camera, step: int = STEP) -> Array:
    """Points (N, 3) on the plane z = 1 of every `step`th pixel."""
    y, x = np.mgrid[: camera.height : step, : camera.width : step]
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1))
    return np.concatenate([rays, np.ones((len(rays), 1))], axis=1)


def _alike(points: Array, other: Array) -> NDArray[np.bool_]:
    """Which of the points (N, 3) are seen from 0 and from `other` (3,) in much the same direction."""
    away = points - other
    lengths = np.linalg.norm(points, axis=1) * np.linalg.norm(away, axis=1)
    return np.asarray((points * away).sum(axis=1) >= np.cos(WIDEST_PARALLAX) * lengths)


def seen_share(first: Sight, second: Sight) -> float:
    """Share of `first`'s points that `second` sees, from a similar direction; 0 without any points."""
    if not len(first.points):
        return 0.0
    second_from_first = second.map_from_camera.inverse() @ first.map_from_camera
    local = second_from_first.apply(first.points)
    pixels = second.camera.project(local)
    seen = second.camera.contains(pixels) & _alike(local, second_from_first.translation)
    if second.depth is not None:
        column, row = (np.rint(pixels[seen].T / STEP)).astype(int)
        height, width = second.depth.shape
        there = second.depth[np.minimum(row, height - 1), np.minimum(column, width - 1)]
        seen[seen] = (there > 0) & (local[seen, 2] <= there * (1 + DEPTH_TOLERANCE))
    return float(seen.mean())
