"""What is known at the centre pixel (8 x + 4, 8 y + 4) of every cell of 8x8 pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_targets import cell_targets

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

STRIDE = 8
MAX_DEPTH = 1000.0
STEEPEST_STEP = 0.1
"""Depth may differ by this share between the four pixels that a normal is taken from."""


@dataclass(frozen=True)
class Cells:
    """N = h * w cells, row by row: `shape` (h, w) and `ideal_pixels` (N, 2).

    Of the camera before its `turn` (old_camera_from_new): `old_rays` (N, 3) on z = 1, NaN where the lens has
    none, `old_pixels` (N, 2), and which lie `inside` (N,) its image, of `old_size` (H, W).
    """

    shape: tuple[int, int]
    ideal_pixels: Array
    turn: Rigid
    old_rays: Array
    old_pixels: Array
    old_size: tuple[int, int]
    inside: Bools

    def map(self, values: Array) -> NDArray[np.float32]:
        """Values (N, K) as a map (K, h, w)."""
        return np.ascontiguousarray(values.T.reshape(-1, *self.shape), np.float32)

    def pixels_in(self, shape: tuple[int, ...]) -> Array:
        """`old_pixels` (N, 2) in an image of the same field of view and another `shape` (h, w)."""
        scale = np.array([shape[1] / self.old_size[1], shape[0] / self.old_size[0]])
        return np.asarray((self.old_pixels + 0.5) * scale - 0.5)


def cells_of(camera: Camera, before: Camera, turn: Rigid) -> Cells:
    """The cells of `camera`'s image, which shows what `before` saw ahead of the turn."""
    shape = (math.ceil(camera.height / STRIDE), math.ceil(camera.width / STRIDE))
    targets, exist = cell_targets(camera, *shape, STRIDE)
    ideal = np.nan_to_num(targets.rays) * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    rays = np.concatenate([targets.rays @ turn.rotation[:2, :2].T, np.ones((len(targets), 1))], axis=1)
    pixels = before.project(np.nan_to_num(rays))
    inside = exist & before.contains(pixels)
    return Cells(shape, ideal, turn, rays, pixels, (before.height, before.width), np.asarray(inside))


def nearest(image: NDArray[np.floating], pixels: Array) -> tuple[Array, Bools]:
    """Values (N,) of the pixels of `image` (H, W) nearest to `pixels` (N, 2), and which are inside."""
    at = np.floor(np.nan_to_num(pixels, nan=-10.0) + 0.5).astype(np.int64)
    inside = (at >= 0).all(axis=1) & (at[:, 0] < image.shape[1]) & (at[:, 1] < image.shape[0])
    return np.asarray(np.where(inside, image[at[:, 1] * inside, at[:, 0] * inside], 0), float), inside


def seen_points(depth: NDArray[np.floating], pixels: Array, rays: Array) -> Array:
    """Points (N, 3) in camera axes on `rays` (N, 3) of z = 1, NaN where `depth` is unknown or far.

    `pixels` (N, 2): where the rays meet the depth image.
    """
    metres, inside = nearest(depth, pixels)
    known = inside & np.isfinite(rays).all(axis=1) & (metres > 0) & (metres <= MAX_DEPTH)
    return np.where(known[:, None], rays * metres[:, None], np.nan)


def landmark_points(landmarks: Array, camera: Camera, pose: Rigid, shape: tuple[int, int]) -> Array:
    """The nearest landmark in each cell (N, 3), NaN where there is none; none from outside or behind."""
    local = pose.inverse().apply(landmarks)
    pixels = camera.project(local)
    seen = np.flatnonzero(camera.contains(pixels) & (local[:, 2] <= MAX_DEPTH))
    seen = seen[np.argsort(-local[seen, 2], kind="stable")]  # the nearest is written last
    column, row = np.floor((pixels[seen] + 0.5) / STRIDE).astype(np.int64).T
    points = np.full((shape[0] * shape[1], 3), np.nan)
    points[row * shape[1] + column] = landmarks[seen]
    return points


def normals_of(depth: NDArray[np.floating], camera: Camera, pixels: Array) -> Array:
    """Unit normals (N, 3) in camera axes, towards the camera, of the surface at `pixels` (N, 2).

    From four pixels about each; 0 where one of them is unknown or on another surface.
    """
    reach = max(1, depth.shape[1] // 320)
    at = np.floor(np.nan_to_num(pixels, nan=-10.0) + 0.5)
    steps = np.array([[reach, 0], [-reach, 0], [0, reach], [0, -reach]], float)
    around = (at[:, None] + steps).reshape(-1, 2)
    metres, inside = nearest(depth, around)
    beams = camera.rays(around)
    points = (np.concatenate([beams, np.ones((len(beams), 1))], 1) * metres[:, None]).reshape(-1, 4, 3)
    metres = metres.reshape(-1, 4)
    low, high = metres.min(axis=1), metres.max(axis=1)
    known = inside.reshape(-1, 4).all(axis=1) & (low > 0) & (high <= low * (1 + STEEPEST_STEP))
    known &= np.isfinite(points).all(axis=(1, 2))
    normals = np.cross(points[:, 2] - points[:, 3], points[:, 0] - points[:, 1])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    known &= length[:, 0] > 0
    return np.asarray(np.where(known[:, None], normals / np.where(length > 0, length, 1), 0))
