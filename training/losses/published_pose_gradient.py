"""Derivatives of poses by scene coordinates as the published DSAC* code approximates them, for comparison.

`relpose_ros.geometry.pose_sensitivity` has the exact ones. The published code works in the coordinates of
OpenCV, rotation vector and translation of `camera_from_map`, and sets to zero what is larger than `LIMIT`
there. Everything here goes in and out in the twist of `Rigid.perturbed` on `map_from_camera`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.pose_sensitivity import pose_sensitivity
from relpose_ros.geometry.rigid import Rigid, skew
from relpose_ros.geometry.scene_targets import PointTargets, RayTargets

Array = NDArray[np.float64]

LIMIT = 10.0
STEP = 1e-3
"""Of the finite differences through P3P, metres."""


def opencv_from_twist(map_from_camera: Rigid) -> Array:
    """d (rotation vector, translation) of `camera_from_map` by the twist of `map_from_camera` (6, 6)."""
    camera_from_map = map_from_camera.inverse()
    vector, rotation = camera_from_map.rotation_vector, camera_from_map.rotation
    angle, cross = max(float(np.linalg.norm(vector)), 1e-9), skew(vector)
    # The left Jacobian of SO(3): exp(J dr) exp(r) = exp(r + dr).
    left = np.eye(3) + (1 - np.cos(angle)) / angle**2 * cross
    left += (angle - np.sin(angle)) / angle**3 * cross @ cross
    out = np.zeros((6, 6))
    out[:3, 3:] = -np.linalg.solve(left, rotation)
    out[3:, :3], out[3:, 3:] = -rotation, -rotation @ skew(map_from_camera.translation)
    return out


def published_refined_sensitivity(
    map_from_camera: Rigid, points: Array, targets: RayTargets | PointTargets, max_error: float
) -> Array:
    """Derivatives (N, 6, 3) of a pose refined on N cells by their coordinates (N, 3).

    For rays by Gauss-Newton on the lengths of the residuals, not on the residuals; for points exact. Zero
    where one of them is larger than `LIMIT` in OpenCV's coordinates.
    """
    chart = opencv_from_twist(map_from_camera)
    if isinstance(targets, PointTargets):
        exact = pose_sensitivity(map_from_camera, points, targets)
        return exact if np.abs(chart @ exact).max() <= LIMIT else np.zeros_like(exact)
    by_twist, by_point, length = length_jacobian(map_from_camera, points, targets)
    rows = np.where(length[:, None] <= max_error, np.linalg.solve(chart.T, by_twist.T).T, 0.0)
    inverse = -np.linalg.pinv(rows.T @ rows) @ rows.T
    if len(points) < 4 or np.abs(inverse).max() > LIMIT:
        return np.zeros((len(points), 6, 3))
    return np.asarray(np.linalg.solve(chart, inverse).T[:, :, None] * by_point[:, None])


def length_jacobian(
    map_from_camera: Rigid, points: Array, targets: RayTargets | PointTargets
) -> tuple[Array, Array, Array]:
    """Derivatives of the residuals' lengths by the twist (N, 6) and by the point (N, 3); the lengths (N,)."""
    residual = targets.residuals((points - map_from_camera.translation) @ map_from_camera.rotation)
    length = np.linalg.norm(residual, axis=1)
    unit = residual / np.maximum(length, 1e-12)[:, None]
    by_twist, by_point = targets.jacobian(map_from_camera, points)
    return np.einsum("nd,ndk->nk", unit, by_twist), np.einsum("nd,ndk->nk", unit, by_point), length


def published_minimal_sensitivity(
    map_from_camera: Rigid, points: Array, targets: RayTargets | PointTargets
) -> Array:
    """Derivatives (3, 6, 3) of a minimal pose by the coordinates (4, 3) or (3, 3) of its cells.

    For rays by central differences in single precision, the fourth cell picking the P3P solution; for points
    exact. Zero where a solution is missing or one derivative is larger than `LIMIT` in OpenCV's coordinates.
    Raises ConfigurationError for rays without a fourth cell.
    """
    if isinstance(targets, RayTargets) and len(points) != 4:
        raise ConfigurationError(
            f"expected sets of four cells, got {len(points)}; draw the hypotheses with draw_published_rgb"
        )
    chart = opencv_from_twist(map_from_camera)
    if isinstance(targets, PointTargets):
        found = chart @ pose_sensitivity(map_from_camera, points, targets)
    else:
        found = _finite_differences(points, targets)
    if not np.isfinite(found).all() or np.abs(found).max() > LIMIT:
        return np.zeros((3, 6, 3))
    return np.asarray(np.linalg.solve(chart, found))


def _finite_differences(points: Array, targets: RayTargets) -> Array:
    """(3, 6, 3) in OpenCV's coordinates; NaN where a solution is missing."""
    moves = (np.eye(9).reshape(9, 1, 3, 3) * np.array([1.0, -1.0])[:, None, None] * STEP).reshape(18, 3, 3)
    moved = np.repeat(points[None], 18, axis=0).astype(np.float32)
    moved[:, :3] += moves.astype(np.float32)
    poses = np.stack([_pose_of_four(m.astype(float), targets) for m in moved]).reshape(9, 2, 6)
    return np.asarray((poses[:, 0] - poses[:, 1]).reshape(3, 3, 6).transpose(0, 2, 1) / (2 * STEP))


def _pose_of_four(points: Array, targets: RayTargets) -> Array:
    """Rotation vector and translation (6,) of the P3P solution of three points that fits the fourth best."""
    poses, _ = targets.minimal_poses(points, np.arange(3)[None])
    if not len(poses.translation):
        return np.full(6, np.nan)
    local = np.einsum("mij,mi->mj", poses.rotation, points[3] - poses.translation)
    best = int(np.argmin((targets[3:].residuals(local[:, None])[:, 0] ** 2).sum(axis=1)))
    chosen = poses[best].inverse()
    return np.concatenate([chosen.rotation_vector, chosen.translation])
