"""Training samples as the published DSAC* loader makes them, for comparison; `scene_sample` is for use.

It turns the finished image about its middle, looks labels up in a grid that was reduced first, and takes
the focal length from the image's height, which is wrong for a portrait image (`Resize` sets the short
side).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.resampling import resize_short_side
from relpose_training.data.cell_labels import MAX_DEPTH, STRIDE, nearest
from relpose_training.data.scene_changes import GREY_MEAN, GREY_SPREAD, luma

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class PublishedSample:
    """`image` (H, W), `pose` map_from_camera (4, 4), `focal` in pixels, `coordinates` (3, h, w), 0 if
    unknown."""

    image: Array
    pose: Array
    focal: float
    coordinates: Floats | None


def published_scene_sample(
    rgb: NDArray[np.uint8],
    pose: Array,
    focal: float,
    height: int = 480,
    scale: float = 1.0,
    angle: float = 0.0,
    depth: Floats | None = None,
    sparse: Floats | None = None,
    augment: bool = False,
) -> PublishedSample:
    """One sample of an image uint8 (H, W, 3) RGB, `angle` in radians.

    `depth` (height, width) metres, of the size of the resized image; or `sparse` (3, h, w) scene coordinates
    at stride 8 of it; or neither.
    """
    small = luma(resize_short_side(rgb, int(height * scale)))
    image = (small / 255.0 - GREY_MEAN) / GREY_SPREAD
    focal = focal * height * scale / rgb.shape[0]
    if augment:
        image = _bilinear_turn(image, angle)
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.eye(4)
        turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
        pose = pose @ turn
    cells = (math.ceil(image.shape[0] / STRIDE), math.ceil(image.shape[1] / STRIDE))
    coordinates: Floats | None = None
    if sparse is not None:
        coordinates = np.stack([_reduced(s, cells, 0.0, angle) for s in sparse]) if augment else sparse
    elif depth is not None:
        coordinates = _from_depth(
            _reduced(depth, image.shape, 0.5, angle) if augment else depth, image.shape, focal, pose
        )
    return PublishedSample(image, pose, focal, coordinates)


def _from_depth(depth: Floats, size: tuple[int, ...], focal: float, pose: Array) -> Array:
    """Scene coordinates (3, h, w) at pixels 8 x + 4; 0 where depth is 0 or beyond `MAX_DEPTH`."""
    cells = (math.ceil(size[0] / STRIDE), math.ceil(size[1] / STRIDE))
    picked = depth[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    metres = np.zeros(cells)
    metres[: picked.shape[0], : picked.shape[1]] = picked
    y, x = np.mgrid[: cells[0], : cells[1]] * STRIDE + STRIDE // 2
    local = np.stack([(x - size[1] / 2) / focal * metres, (y - size[0] / 2) / focal * metres, metres])
    scene = np.tensordot(pose[:3, :3], local, 1) + pose[:3, 3, None, None]
    return np.where((metres > 0) & (metres <= MAX_DEPTH), scene, 0.0)


def _reduced(grid: Floats, size: tuple[int, ...], centre: float, angle: float) -> Array:
    """Nearest neighbours at `size` (first pixel of each or, with 0.5, the middle), turned, 0 from outside."""
    rows = ((np.arange(size[0]) + centre) * grid.shape[0] / size[0]).astype(np.int64)
    columns = ((np.arange(size[1]) + centre) * grid.shape[1] / size[1]).astype(np.int64)
    small = grid[np.ix_(np.minimum(rows, len(grid) - 1), np.minimum(columns, grid.shape[1] - 1))]
    return nearest(small, _turned_pixels(small.shape, angle))[0].reshape(small.shape)


def _bilinear_turn(image: Array, angle: float) -> Array:
    from scipy.ndimage import map_coordinates

    at = _turned_pixels(image.shape, angle).T[::-1]
    return np.asarray(map_coordinates(image, at, order=1, mode="mirror").reshape(image.shape))


def _turned_pixels(size: tuple[int, ...], angle: float) -> Array:
    """Where each pixel (H * W, 2), x then y, comes from when the image turns counter-clockwise."""
    y, x = np.mgrid[: size[0], : size[1]].reshape(2, -1)
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    c, s = math.cos(angle), math.sin(angle)
    return np.asarray((np.stack([x, y], axis=1) - middle) @ np.array([[c, s], [-s, c]]) + middle)
