"""Triangulation of many tracks at once from known poses, with the covariance of every point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Index = NDArray[np.integer]


@dataclass(frozen=True)
class Observations:
    """Where tracks were seen: K observations, in any order.

    `track` (K,) int; `rays` (K, 2) on z = 1 of the observing camera; `map_from_camera`
    batched (K); `focal` (K,) pixels per unit of `rays`.
    """

    track: Index
    rays: Array
    map_from_camera: Rigid
    focal: Array

    def __getitem__(self, index: Index | NDArray[np.bool_]) -> Observations:
        return Observations(
            self.track[index], self.rays[index], self.map_from_camera[index], self.focal[index]
        )

    def __len__(self) -> int:
        return len(self.track)


def triangulate(
    observations: Observations,
    tracks: int,
    max_error_px: float = 3.0,
    rounds: int = 3,
    start: Array | None = None,
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Points (T, 3), covariances (T, 3, 3) for 1 px of noise, and the observations used (K,) bool.

    Starts at `start` (T, 3), or at the point nearest to all rays, and minimises the robust
    (Cauchy) reprojection error by damped Gauss-Newton. After each round, observations that are
    further off than `max_error_px` or behind their camera are dropped; a track left with fewer
    than two keeps NaN. A small parallax is no reason to drop a point: its covariance says it.
    """
    used = np.isfinite(observations.rays).all(axis=1)
    points = np.full((tracks, 3), np.nan)
    for _ in range(rounds):
        count = np.bincount(observations.track[used], minlength=tracks)
        used &= count[observations.track] >= 2
        chosen = observations[used]
        if not len(chosen):
            break
        first = _nearest_to_rays(chosen, tracks) if start is None else start
        points = _refine(first, chosen, max_error_px)
        error, depth = reprojection(points, observations)
        used &= (np.linalg.norm(error, axis=1) < max_error_px) & (depth > 0)
    count = np.bincount(observations.track[used], minlength=tracks)
    used &= count[observations.track] >= 2
    points[np.bincount(observations.track[used], minlength=tracks) < 2] = np.nan
    return points, point_covariances(points, observations[used], tracks), used


def reprojection(points: Array, observations: Observations) -> tuple[Array, Array]:
    """Reprojection errors (K, 2) in pixels and depths (K,) of the points' observations."""
    local = _to_camera(points[observations.track], observations.map_from_camera)
    depth = local[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = (local[:, :2] / depth[:, None] - observations.rays) * observations.focal[:, None]
    return np.where(np.isfinite(error), error, np.inf), depth


def point_covariances(points: Array, observations: Observations, tracks: int) -> Array:
    """(T, 3, 3) inverse normal matrices: the points' covariance for 1 px of noise."""
    if not len(observations):
        return np.full((tracks, 3, 3), np.nan)
    jacobian = _jacobian(points, observations)
    normal = _sum(observations.track, _outer(jacobian, np.ones(len(jacobian))), tracks)
    covariance = np.full((tracks, 3, 3), np.nan)
    good = np.isfinite(points).all(axis=1)
    scale = np.trace(normal[good], axis1=1, axis2=2)[:, None, None]
    covariance[good] = np.linalg.inv(normal[good] + 1e-12 * scale * np.eye(3))
    return covariance


def _to_camera(points: Array, map_from_camera: Rigid) -> Array:
    offset = points - map_from_camera.translation
    return np.asarray(np.einsum("kij,ki->kj", map_from_camera.rotation, offset))


def _sum(track: Index, values: Array, tracks: int) -> Array:
    """Sum of `values` (K, ...) over the observations of each track: (T, ...)."""
    flat = values.reshape(len(values), -1)
    columns = [np.bincount(track, weights=c, minlength=tracks) for c in flat.T]
    return np.stack(columns, axis=1, dtype=float).reshape(tracks, *values.shape[1:])


def _outer(jacobian: Array, weight: Array) -> Array:
    return np.asarray(np.einsum("kri,krj,k->kij", jacobian, jacobian, weight))


def _nearest_to_rays(observations: Observations, tracks: int) -> Array:
    rotation = observations.map_from_camera.rotation
    local = np.concatenate([observations.rays, np.ones((len(observations), 1))], axis=1)
    direction = np.einsum("kij,kj->ki", rotation, local)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    across = np.eye(3) - direction[:, :, None] * direction[:, None, :]
    centre = observations.map_from_camera.translation
    normal = _sum(observations.track, across, tracks)
    right = _sum(observations.track, np.einsum("kij,kj->ki", across, centre), tracks)
    # Parallel rays meet nowhere: the prior keeps such a point at a large, finite distance.
    mean = _sum(observations.track, centre, tracks)
    mean /= np.maximum(np.bincount(observations.track, minlength=tracks), 1)[:, None]
    prior = 1e-9
    solved = np.linalg.solve(normal + prior * np.eye(3), (right + prior * mean)[..., None])
    return np.asarray(solved[..., 0], float)


def _jacobian(points: Array, observations: Observations) -> Array:
    """(K, 2, 3) derivative of the reprojection in pixels with respect to the point."""
    local = _to_camera(points[observations.track], observations.map_from_camera)
    x, y, z = local.T
    z = np.where(np.abs(z) < 1e-9, 1e-9, z)
    zero = np.zeros_like(x)
    flat = np.stack([1 / z, zero, -x / z**2, zero, 1 / z, -y / z**2], axis=1).reshape(-1, 2, 3)
    camera_from_map = np.swapaxes(observations.map_from_camera.rotation, 1, 2)
    return flat @ camera_from_map * observations.focal[:, None, None]


def _refine(points: Array, observations: Observations, robust_px: float, steps: int = 10) -> Array:
    """Damped Gauss-Newton on every track at once; a step that does not help is taken back."""
    damping = np.full(len(points), 1e-4)
    cost, weight, error = _cost(points, observations, robust_px)
    for _ in range(steps):
        before = cost.sum()
        jacobian = _jacobian(points, observations)
        normal = _sum(observations.track, _outer(jacobian, weight), len(points))
        gradient = _sum(observations.track, np.einsum("kri,kr,k->ki", jacobian, error, weight), len(points))
        diagonal = np.einsum("tii->ti", normal)
        ridge = damping[:, None] * diagonal + 1e-12 * diagonal.sum(axis=1, keepdims=True) + 1e-30
        move = np.linalg.solve(normal + ridge[:, :, None] * np.eye(3), gradient[..., None])[..., 0]
        moved = points - move
        new_cost, _, _ = _cost(moved, observations, robust_px)
        better = new_cost < cost
        points = np.where(better[:, None], moved, points)
        damping = np.clip(np.where(better, damping * 0.2, damping * 10), 1e-9, 1e6)
        cost, weight, error = _cost(points, observations, robust_px)
        if before - cost.sum() < 1e-4 * before:
            break
    return points


def _cost(points: Array, observations: Observations, scale: float) -> tuple[Array, Array, Array]:
    """Cauchy cost of each track (T,), weights (K,) and reprojection errors (K, 2)."""
    error, depth = reprojection(points, observations)
    # A point behind its camera must look worse than anything in front of it.
    squared = np.where(depth > 0, (error**2).sum(axis=1), 1e12)
    squared = np.minimum(np.where(np.isfinite(squared), squared, 1e12), 1e12)
    weight = np.where(depth > 0, 1 / (1 + squared / scale**2), 0.0)
    error = np.where(np.isfinite(error), error, 0.0)
    cost = np.bincount(observations.track, np.log1p(squared / scale**2), minlength=len(points))
    return np.asarray(cost, float), np.asarray(weight), error
