"""Refinement of a camera pose on 2D-3D correspondences whose points are themselves uncertain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correspondences:
    """N map points seen by a camera.

    `rays` (N, 2) on z = 1; `points` (N, 3) metres, map frame; `covariances` (N, 3, 3) of the
    points for 1 px of noise; `focal` pixels per unit of `rays`.
    """

    rays: Array
    points: Array
    covariances: Array
    focal: float

    def __getitem__(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Correspondences:
        return Correspondences(self.rays[index], self.points[index], self.covariances[index], self.focal)

    def __len__(self) -> int:
        return len(self.rays)


@dataclass(frozen=True)
class Linearization:
    """Whitened residuals at a pose: unit variance where pixels and points have 1 px of noise.

    `jacobian` (N, 2, 6) with respect to the twist of `Rigid.perturbed`; `residual` (N, 2).
    """

    jacobian: Array
    residual: Array

    def __getitem__(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Linearization:
        return Linearization(self.jacobian[index], self.residual[index])

    @property
    def squared(self) -> Array:
        """Squared Mahalanobis residuals (N,)."""
        squared: Array = (self.residual**2).sum(axis=1)
        return squared


def project(map_from_camera: Rigid, points: Array) -> tuple[Array, Array]:
    """Map points (N, 3) -> rays (N, 2) on z = 1 and depths (N,); rays are inf at depth <= 0."""
    local = (points - map_from_camera.translation) @ map_from_camera.rotation
    depth = local[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        rays = local[:, :2] / depth[:, None]
    return np.where(depth[:, None] > 0, rays, np.inf), depth


def reprojection_jacobian(map_from_camera: Rigid, points: Array, focal: float) -> tuple[Array, Array]:
    """Derivatives of the projection in pixels: by the twist (N, 2, 6) and by the point (N, 2, 3).

    With d = X - t and a row a of the derivative by the point, the twist's row is
    [-a, a x d] (first-order expansion of R^T exp(-theta) (X - t - dt)).
    """
    offset = points - map_from_camera.translation
    local = offset @ map_from_camera.rotation
    right, down, forward = map_from_camera.rotation.T
    scale = focal / local[:, 2]
    by_point = np.empty((len(points), 2, 3))
    by_point[:, 0] = (right - (local[:, 0] / local[:, 2])[:, None] * forward) * scale[:, None]
    by_point[:, 1] = (down - (local[:, 1] / local[:, 2])[:, None] * forward) * scale[:, None]
    by_twist = np.empty((len(points), 2, 6))
    by_twist[:, :, :3] = -by_point
    # The cross product by hand: numpy's costs more than everything else here together.
    ax, ay, az = np.moveaxis(by_point, 2, 0)
    dx, dy, dz = offset.T[:, :, None]
    by_twist[:, :, 3] = ay * dz - az * dy
    by_twist[:, :, 4] = az * dx - ax * dz
    by_twist[:, :, 5] = ax * dy - ay * dx
    return by_twist, by_point


def linearize(map_from_camera: Rigid, seen: Correspondences) -> Linearization:
    """Residuals whitened by pixel noise plus the projected uncertainty of the points."""
    by_twist, by_point = reprojection_jacobian(map_from_camera, seen.points, seen.focal)
    return _whitened(by_twist, by_point, _residual(map_from_camera, seen, seen.points), seen.covariances)


def linearize_at_corrected(map_from_camera: Rigid, seen: Correspondences) -> Linearization:
    """As `linearize`, but about the points as this pose and their covariances correct them.

    Where the noise is in the points, derivatives taken at the noisy ones go with their errors, and the pose
    is biased (errors in variables). At the most likely points, X - S J^T (I + J S J^T)^-1 r, they do not:
    Gauss-Newton on pose and points together, the points eliminated (orthogonal distance regression).
    """
    _, by_point = reprojection_jacobian(map_from_camera, seen.points, seen.focal)
    residual = _residual(map_from_camera, seen, seen.points)
    spread = by_point @ seen.covariances
    s01 = (spread[:, 0] * by_point[:, 1]).sum(axis=1)
    s00 = 1.0 + (spread[:, 0] * by_point[:, 0]).sum(axis=1)
    s11 = 1.0 + (spread[:, 1] * by_point[:, 1]).sum(axis=1)
    x, y = residual.T / (s00 * s11 - s01**2)
    moved = (s11 * x - s01 * y)[:, None] * spread[:, 0] + (s00 * y - s01 * x)[:, None] * spread[:, 1]
    points = seen.points - moved
    by_twist, by_point = reprojection_jacobian(map_from_camera, points, seen.focal)
    residual = _residual(map_from_camera, seen, points) + np.einsum("nri,ni->nr", by_point, moved)
    return _whitened(by_twist, by_point, residual, seen.covariances)


def _residual(map_from_camera: Rigid, seen: Correspondences, points: Array) -> Array:
    rays, _ = project(map_from_camera, points)
    residual = (rays - seen.rays) * seen.focal
    return np.where(np.isfinite(residual), residual, 1e6)


def _whitened(by_twist: Array, by_point: Array, residual: Array, covariances: Array) -> Linearization:
    """Rows (N, 2, 6) and (N, 2) divided by the root of I + J S J^T; overwrites them."""
    spread = by_point @ covariances
    across = (spread[:, 0] * by_point[:, 1]).sum(axis=1)
    s00 = 1.0 + (spread[:, 0] * by_point[:, 0]).sum(axis=1)
    s11 = 1.0 + (spread[:, 1] * by_point[:, 1]).sum(axis=1)
    # Cholesky of the 2x2 noise covariance, inverted by hand: this runs for every frame.
    l00 = 1 / np.sqrt(s00)
    l10 = across / s00
    l11 = 1 / np.sqrt(np.maximum(s11 - across * l10, 1e-12))
    for rows in (by_twist, residual[:, :, None]):
        rows[:, 1] = (rows[:, 1] - rows[:, 0] * l10[:, None]) * l11[:, None]
        rows[:, 0] *= l00[:, None]
    return Linearization(by_twist, residual)


def refine_pose(
    map_from_camera: Rigid,
    seen: Correspondences,
    robust: float = 2.5,
    iterations: int = 4,
    linearization: Callable[[Rigid, Correspondences], Linearization] = linearize,
) -> tuple[Rigid, Linearization, Array]:
    """Minimise the robust (Cauchy) Mahalanobis reprojection error by Gauss-Newton.

    `linearization`: `linearize`, or `linearize_at_corrected` where most of the noise is in the points.
    Returns the pose, the linearization there and the robust weights (N,).
    """
    return minimise(map_from_camera, lambda pose: linearization(pose, seen), robust, iterations)


def minimise(
    pose: Rigid, linearization: Callable[[Rigid], Linearization], robust: float = 2.5, iterations: int = 4
) -> tuple[Rigid, Linearization, Array]:
    """`refine_pose` for any whitened residuals of a pose."""
    for _ in range(iterations):
        line = linearization(pose)
        weight = 1 / (1 + line.squared / robust**2)
        twist = _gauss_newton_step(line, weight)
        if twist is None:
            break
        pose = pose.perturbed(twist)
        if np.abs(twist[3:]).max() < 1e-5:
            break
    line = linearization(pose)
    return pose, line, 1 / (1 + line.squared / robust**2)


def _gauss_newton_step(line: Linearization, weight: Array) -> Array | None:
    rows = line.jacobian.reshape(-1, 6)
    weighted = (line.jacobian * weight[:, None, None]).reshape(-1, 6)
    normal = weighted.T @ rows
    try:
        twist = -np.asarray(np.linalg.solve(normal, weighted.T @ line.residual.ravel()), float)
    except np.linalg.LinAlgError:
        return None
    # A long step means a degenerate view: leave the pose of the robust solver alone.
    if not np.isfinite(twist).all() or np.linalg.norm(twist[3:]) > 0.5:
        return None
    return twist
