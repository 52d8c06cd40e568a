"""Normalised surface overlap: how much of the surface that one view sees another sees as well, and from the
same side (Rau et al., "Predicting Visual Overlap of Images Through Interpretable Non-Metric Box Embeddings",
ECCV 2020: the measure alone, not their embeddings)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """What a view sees: points (N, 3), metres, in the map, and their unit normals (N, 3), which point away
    from the camera."""

    points: Array
    normals: Array


def surface_from_depth(
    depth: NDArray[np.floating],
    camera: Camera,
    map_from_camera: Rigid,
    limit: int = 5000,
    seed: int = 0,
    compat: bool = False,
) -> Surface:
    """At most `limit` points, drawn by `seed`, of a depth image (H, W), metres, 0 where unknown.

    The normal is the direction in which a pixel and its eight neighbours spread least; pixels without all
    eight have none and are left out. `compat` leaves the normals in the axes of the camera, as published, so
    that views of the same side turned against each other agree less. Raises ConfigurationError if the image
    is not of the camera's size. Takes any lens of `Camera`.
    """
    if depth.shape != (camera.height, camera.width):
        raise ConfigurationError(
            f"expected a depth image of {camera.height} x {camera.width}, got {depth.shape}; resize one"
        )
    y, x = np.mgrid[: camera.height, : camera.width]
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(*depth.shape, 2)
    known = np.isfinite(depth) & (depth > 0) & np.isfinite(rays).all(axis=2)
    ahead = np.concatenate([rays, np.ones((*depth.shape, 1))], axis=2)
    points = np.where(known[..., None], ahead * depth[..., None], 0.0)
    whole = np.lib.stride_tricks.sliding_window_view(known, (3, 3)).all(axis=(2, 3))
    chosen = np.argwhere(whole)  # the top left corners of their windows
    if len(chosen) > limit:
        chosen = chosen[np.random.default_rng(seed).choice(len(chosen), limit, replace=False)]
    windows = np.lib.stride_tricks.sliding_window_view(points, (3, 3), axis=(0, 1))
    local = points[chosen[:, 0] + 1, chosen[:, 1] + 1]
    normals = _normals(windows[chosen[:, 0], chosen[:, 1]].reshape(len(chosen), 3, 9), local)
    turned = normals if compat else normals @ map_from_camera.rotation.T
    return Surface(map_from_camera.apply(local), turned)


def surface_overlap(of: Surface, in_other: Surface, radius: float = 0.1) -> float:
    """Share, 0 to 1, of the points `of` one view that the other sees: not symmetric.

    mean over p of [|p - q| < radius] (n_p . n_q + 1) / 2, q the other's nearest point; `radius` in metres.
    0 if the other sees nothing, NaN if there is no point to look for.
    """
    if not len(of.points):
        return float("nan")
    return float(np.mean(surface_agreement(of, in_other, radius)))


def surface_agreement(of: Surface, in_other: Surface, radius: float = 0.1) -> Array:
    """How far each point (N,) `of` a view, or of several, lies on what the other sees, from the same side.

    (n_p . n_q + 1) / 2, q the other's nearest point, where |p - q| < radius, else 0.
    """
    agreement = np.zeros(len(of.points))
    if not len(in_other.points):
        return agreement
    tree = cKDTree(in_other.points)
    distance, nearest = tree.query(of.points, distance_upper_bound=radius)
    near = distance < radius
    alike = (np.sum(of.normals[near] * in_other.normals[nearest[near]], axis=1) + 1) / 2
    agreement[near] = alike
    return agreement


def _normals(windows: Array, points: Array) -> Array:
    """Unit normals (N, 3) of windows (N, 3, 9) around `points` (N, 3), away from the camera."""
    centred = windows - windows.mean(axis=2, keepdims=True)
    normals = np.linalg.eigh(centred @ centred.transpose(0, 2, 1))[1][:, :, 0]
    away = np.sum(normals * points, axis=1) >= 0
    return np.asarray(np.where(away[:, None], normals, -normals))
