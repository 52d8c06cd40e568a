"""What predicted scene coordinates are compared with: rays of a camera, or points of a depth camera.

Both speak of one pose, `map_from_camera`, and of N cells of a coordinate map. A residual is what is off in
the camera: pixels for rays, metres for points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.kabsch import align_points
from relpose_ros.geometry.p3p import solve_p3p
from relpose_ros.geometry.refinement import reprojection_jacobian
from relpose_ros.geometry.rigid import Rigid, skew

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class Targets(Protocol):
    """What the robust estimator needs to know about N observations.

    A fit needs more of them than `minimum`.
    """

    minimum: ClassVar[int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Self: ...

    def residuals(self, local: Array) -> Array:
        """Points in camera axes (..., N, 3) -> residuals (..., N, D)."""

    def squared_errors(self, local: Array, cheirality: bool) -> Array:
        """Squared lengths of the residuals of points (3, ..., N): (..., N).

        With `cheirality`, infinite for a point that no camera could see.
        """

    def minimal_poses(self, points: Array, sets: Indices) -> tuple[Rigid, Indices]:
        """Every `map_from_camera` (M) that fits three cells `sets` (S, 3) of the map `points` (N, 3).

        With the set of each (M,), ascending; a set has none, one or several.
        """

    def fit(self, points: Array, start: Rigid, tolerance: float) -> Rigid:
        """`map_from_camera` that minimises the squared residuals of all map points (N, 3).

        To `tolerance`, in metres and radians, from `start` on.
        """

    def jacobian(self, map_from_camera: Rigid, points: Array) -> tuple[Array, Array]:
        """Derivatives of the residuals by the twist (N, D, 6) of `Rigid.perturbed` and by the map point (N,
        D, 3)."""

    def curvature(self, local: Array) -> Array:
        """Second derivatives of the residuals by the point in camera axes (N, D, 3, 3)."""


@dataclass(frozen=True)
class RayTargets:
    """Cells of an image: `rays` (N, 2) on z = 1 and the pixels per unit of a ray, `focal`."""

    rays: Array
    focal: float
    minimum: ClassVar[int] = 4

    def __len__(self) -> int:
        return len(self.rays)

    def __getitem__(self, index: Any) -> RayTargets:
        return RayTargets(self.rays[index], self.focal)

    def residuals(self, local: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((local[..., :2] / local[..., 2:] - self.rays) * self.focal)

    def squared_errors(self, local: Array, cheirality: bool) -> Array:
        x, y, z = local
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            across, down = x / z, y / z  # in place from here on: this runs for every hypothesis
            across -= self.rays[:, 0]
            down -= self.rays[:, 1]
            across *= across
            down *= down
            across += down
            across *= self.focal**2
        if cheirality:
            across[z <= 0] = np.inf
        return np.asarray(across)

    def minimal_poses(self, points: Array, sets: Indices) -> tuple[Rigid, Indices]:
        camera_from_map, which = solve_p3p(self.rays[sets], points[sets])
        return camera_from_map.inverse(), which

    def fit(self, points: Array, start: Rigid, tolerance: float) -> Rigid:
        """Gauss-Newton, halving a step that makes it worse, until no step is left or none helps."""
        pose, cost = start, self._cost(start, points)
        for _ in range(50):
            rows = self.jacobian(pose, points)[0].reshape(-1, 6)
            residual = self.residuals((points - pose.translation) @ pose.rotation)
            step = -np.linalg.lstsq(rows.T @ rows, rows.T @ residual.ravel(), rcond=1e-14)[0]
            for _ in range(8):
                moved = pose.perturbed(step)
                found = self._cost(moved, points)
                if found <= cost * (1 + 1e-12):
                    break
                step /= 2
            else:
                return pose
            pose, cost = moved, found
            if np.abs(step).max() < tolerance:
                break
        return pose

    def _cost(self, pose: Rigid, points: Array) -> float:
        return float(self.squared_errors(((points - pose.translation) @ pose.rotation).T, False).sum())

    def jacobian(self, map_from_camera: Rigid, points: Array) -> tuple[Array, Array]:
        return reprojection_jacobian(map_from_camera, points, self.focal)

    def curvature(self, local: Array) -> Array:
        x, y, z = local.T
        second = np.zeros((len(local), 2, 3, 3))
        second[:, (0, 1), (0, 1), 2] = second[:, (0, 1), 2, (0, 1)] = (-self.focal / z**2)[:, None]
        second[:, 0, 2, 2], second[:, 1, 2, 2] = 2 * self.focal * x / z**3, 2 * self.focal * y / z**3
        return second


@dataclass(frozen=True)
class PointTargets:
    """Points (N, 3) in camera axes that a depth camera measured, metres."""

    points: Array
    minimum: ClassVar[int] = 3

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: Any) -> PointTargets:
        return PointTargets(self.points[index])

    def residuals(self, local: Array) -> Array:
        return np.asarray(local - self.points)

    def squared_errors(self, local: Array, cheirality: bool) -> Array:
        x, y, z = local - self.points.T.reshape(3, *[1] * (local.ndim - 2), -1)
        return np.asarray(x * x + y * y + z * z)  # the measured depth decides, with `cheirality` or without

    def minimal_poses(self, points: Array, sets: Indices) -> tuple[Rigid, Indices]:
        distinct = (sets[:, 0] != sets[:, 1]) & (sets[:, 0] != sets[:, 2]) & (sets[:, 1] != sets[:, 2])
        which = np.flatnonzero(distinct)
        return align_points(self.points[sets[which]], points[sets[which]]), which

    def fit(self, points: Array, start: Rigid, tolerance: float) -> Rigid:
        """The optimum is in closed form: `start` and `tolerance` are not used."""
        return align_points(self.points, points)

    def jacobian(self, map_from_camera: Rigid, points: Array) -> tuple[Array, Array]:
        axes = map_from_camera.rotation.T
        offset = skew(points - map_from_camera.translation)
        by_twist = np.concatenate([np.broadcast_to(-axes, offset.shape), axes @ offset], axis=2)
        return by_twist, np.broadcast_to(axes, offset.shape)

    def curvature(self, local: Array) -> Array:
        return np.zeros((len(local), 3, 3, 3))


def cell_targets(
    camera: Camera, height: int, width: int, stride: int = 8
) -> tuple[RayTargets, NDArray[np.bool_]]:
    """The rays of the cells of a coordinate map (row by row, N = height * width), and which exist.

    Cell x speaks of pixel `stride * x + stride // 2`, the convention of DSAC*: labels are sampled there. A
    distorted camera has no ray for some cells at the rim: drop those.
    """
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = stride * np.stack([x.ravel(), y.ravel()], axis=1) + stride // 2
    rays = camera.rays(pixels)
    return RayTargets(rays, camera.focal), np.asarray(np.isfinite(rays).all(axis=1))
