"""Which surface does each pixel see? Exact at pixel centres, without clipping or sorting.

For a plane n.X = d in camera axes and the ray r = (x', y', 1) of a pixel, the inverse depth
w = n.r / d is affine in the pixel, and so are u*w and v*w for the surface's own coordinates
(u, v). A surface covers a pixel where w > 0 and 0 <= u*w, v*w <= w; the largest w is in front.
Tiles are sorted out first by the bounds of those five affine functions over the tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

TILE = 16
BLOCK = 4
"""Tiles a side of a block."""

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Projected:
    """Surfaces that face a camera: affine functions (N, 3, 3) of the pixel (x, y, 1).

    `functions[:, 0..2]` are u*w, v*w and w; `index` (N,) is the surface's place in the world.
    """

    functions: NDArray[np.float64]
    index: Ids


def project(
    corners: NDArray[np.float64],
    alongs: NDArray[np.float64],
    downs: NDArray[np.float64],
    camera: Camera,
    map_from_camera: Rigid,
) -> Projected:
    """Surfaces (N, 3 each) seen by a pinhole `camera` (its distortion is not looked at)."""
    normals = np.cross(downs, alongs)
    facing = np.einsum("ij,ij->i", normals, map_from_camera.translation - corners) > 1e-9
    index = np.flatnonzero(facing).astype(np.int32)
    turn = map_from_camera.rotation  # row vectors: X_camera = (X_map - t) @ R
    corner = (corners[index] - map_from_camera.translation) @ turn
    along, down, normal = alongs[index] @ turn, downs[index] @ turn, normals[index] @ turn
    w = normal / np.einsum("ij,ij->i", normal, corner)[:, None]
    u, v = (
        (edge - w * np.einsum("ij,ij->i", edge, corner)[:, None]) / np.einsum("ij,ij->i", edge, edge)[:, None]
        for edge in (along, down)
    )
    functions = np.stack([u, v, w], axis=1) @ np.linalg.inv(camera.matrix)
    return Projected(functions, index)


def rasterise(projected: Projected, width: int, height: int) -> Ids:
    """Rows of `projected` (height, width) seen at the pixel centres, -1 where there is none."""
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    tile, row, whole = _candidates(projected, tiles_x, tiles_y)
    count = np.bincount(tile, minlength=tiles_x * tiles_y)
    ids = np.full((tiles_x * tiles_y, TILE, TILE), -1, np.int32)
    alone = (count[tile] == 1) & whole
    ids[tile[alone]] = row[alone, None, None]
    _depth_test(ids, projected, tile[~alone], row[~alone], tiles_x)
    image = ids.reshape(tiles_y, tiles_x, TILE, TILE).swapaxes(1, 2)
    return np.ascontiguousarray(image.reshape(tiles_y * TILE, tiles_x * TILE)[:height, :width])


def _candidates(projected: Projected, tiles_x: int, tiles_y: int) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Pairs (tile, row) that may be seen, sorted by tile, and whether the row covers the whole tile.

    Blocks of tiles are looked at first, then the tiles of the blocks that are left.
    """
    u, v, w = np.moveaxis(projected.functions, 1, 0)
    edges = np.stack([u, v, w - u, w - v, w]).transpose(2, 0, 1).astype(np.float32)
    blocks_x, blocks_y = -(-tiles_x // BLOCK), -(-tiles_y // BLOCK)
    row, block = (a.ravel() for a in np.indices((edges.shape[2], blocks_x * blocks_y)))
    x, y = block % blocks_x, block // blocks_x
    kept, _ = _visible(edges, row, block, x * BLOCK * TILE, y * BLOCK * TILE, BLOCK * TILE)
    inner_x, inner_y = (a.ravel() for a in np.indices((BLOCK, BLOCK)))
    x, y = ((BLOCK * a[kept, None] + inner).ravel() for a, inner in ((x, inner_x), (y, inner_y)))
    inside = (x < tiles_x) & (y < tiles_y)
    x, y, row = x[inside], y[inside], np.repeat(row[kept], BLOCK * BLOCK)[inside]
    tile = y * tiles_x + x
    kept, whole = _visible(edges, row, tile, x * TILE, y * TILE, TILE)
    tile, row, whole = tile[kept], row[kept], whole[kept]
    order = np.argsort(tile, kind="stable")
    return tile[order], row[order], whole[order]


def _visible(
    edges: Floats, row: Rows, tile: Rows, x: Rows, y: Rows, side: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs (row, tile) may be seen, and whether the row covers all of the tile.

    `edges` (3, 5, N): affine functions that are >= 0 inside, and w; x, y (K,): the tile's first pixel.
    """
    half = np.float32(0.5 * (side - 1))
    a, b, c = (np.take(e, row, axis=1) for e in edges)
    centre = a * (x + half).astype(np.float32) + b * (y + half).astype(np.float32) + c
    # The bounds must hold in spite of rounding.
    slack = half * np.float32(1 + 1e-5) * (np.abs(a) + np.abs(b)) + np.float32(1e-6)
    low, high = centre - slack, centre + slack
    possible = (high[:4].min(axis=0) >= 0) & (high[4] > 0)
    whole = low[:4].min(axis=0) >= 0
    nearest = np.zeros(tile.max(initial=0) + 1, np.float32)
    np.maximum.at(nearest, tile[whole], low[4, whole])
    return possible & (high[4] >= nearest[tile]), whole


def _depth_test(ids: Ids, projected: Projected, tile: Rows, row: Rows, tiles_x: int) -> None:
    """Fill `ids` where several surfaces meet in a tile; one candidate of every tile at a time."""
    if not len(tile):
        return
    mixed, count = np.unique(tile, return_counts=True)
    # Tiles with most candidates first: the tiles still busy at any turn are then the first ones.
    order = np.argsort(-count, kind="stable")
    first = np.cumsum(count) - count
    start, slope = _affine_starts(projected, tile, row, tiles_x)
    offset = np.arange(TILE, dtype=np.float32)
    best = np.zeros((len(mixed), TILE, TILE), np.float32)
    winner = np.full((len(mixed), TILE, TILE), -1, np.int32)
    for turn in range(int(count.max())):
        busy = int(np.count_nonzero(count > turn))
        k = first[order[:busy]] + turn
        across = (start[k, :, None] + slope[k, :, :1] * offset).swapaxes(0, 1)[:, :, None, :]
        u, v, w = across + (slope[k, :, 1:] * offset).swapaxes(0, 1)[:, :, :, None]
        seen = w > best[:busy]
        seen &= np.minimum(u, v) >= 0
        seen &= np.maximum(u, v, out=u) <= w
        np.copyto(best[:busy], w, where=seen)
        np.copyto(winner[:busy], row[k, None, None].astype(np.int32), where=seen)
    ids[mixed[order]] = winner


def _affine_starts(projected: Projected, tile: Rows, row: Rows, tiles_x: int) -> tuple[Floats, Floats]:
    """The affine functions (K, 3) at the tiles' first pixels, and their slopes (K, 3, 2)."""
    origin = np.stack([tile % tiles_x * TILE, tile // tiles_x * TILE, np.ones_like(tile)], axis=1)
    functions = projected.functions[row]
    start = np.einsum("kfc,kc->kf", functions, origin)
    return start.astype(np.float32), functions[:, :, :2].astype(np.float32)
