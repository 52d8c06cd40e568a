"""Straightforward versions of what the library does fast: one item at a time, textbook formulas."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.refinement import Correspondences, Linearization, linearize
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions, RobustPose
from relpose_ros.geometry.triangulation import Observations

Array = NDArray[np.float64]
Floats = NDArray[np.float32]


def vlad_loop(descriptors: Floats, centres: Floats) -> Floats:
    """VLAD (K * D,), one local descriptor (D,) at a time."""
    residual = np.zeros_like(centres)
    for descriptor in descriptors:
        distance = ((centres - descriptor) ** 2).sum(axis=1)
        nearest = int(distance.argmin())
        residual[nearest] += descriptor - centres[nearest]
    for row in residual:
        row /= max(float(np.linalg.norm(row)), 1e-9)
    flat = residual.ravel()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-9))


def search_sort(descriptors: Floats, query: Floats, k: int) -> list[int]:
    """The k most similar rows of (N, D) to (D,): a dot product each, then a full sort."""
    scores = [float(row @ query) for row in descriptors]
    return sorted(range(len(scores)), key=lambda i: -scores[i])[:k]


def match_loop(query: Floats, reference: Floats, ratio: float) -> list[tuple[int, int]]:
    """Mutual nearest neighbours with a ratio test, one descriptor at a time."""
    pairs = []
    for i, descriptor in enumerate(query):
        distance = np.linalg.norm(reference - descriptor, axis=1)
        first, second = np.argsort(distance)[:2]
        back = np.linalg.norm(query - reference[first], axis=1).argmin()
        if back == i and distance[first] < ratio * distance[second]:
            pairs.append((i, int(first)))
    return pairs


def match_opencv(query: Floats, reference: Floats, ratio: float) -> list[tuple[int, int]]:
    """The same by OpenCV: `knnMatch` both ways."""
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    forward = matcher.knnMatch(query, reference, k=2)
    backward = [m[0].trainIdx for m in matcher.knnMatch(reference, query, k=1)]
    return [
        (first.queryIdx, first.trainIdx)
        for first, second in forward
        if first.distance < ratio * second.distance and backward[first.trainIdx] == first.queryIdx
    ]


def pnp_opencv(rays: Array, points: Array, focal: float, options: RansacOptions) -> RobustPose | None:
    """`cv2.solvePnPRansac` with the same threshold and iterations, and PoseLib's default confidence."""
    found, turn, shift, inliers = cv2.solvePnPRansac(
        points,
        rays * focal,
        np.diag([focal, focal, 1.0]),
        None,
        iterationsCount=options.max_iterations,
        reprojectionError=options.max_error_px,
        confidence=0.9999,
        flags=cv2.SOLVEPNP_P3P,
    )
    if not found or inliers is None:
        return None
    camera_from_map = Rigid.from_rotation_vector(turn.ravel(), shift.ravel())
    kept = np.zeros(len(rays), np.bool_)
    kept[inliers.ravel()] = True
    return RobustPose(camera_from_map.inverse(), kept)


def refine_scipy(map_from_camera: Rigid, seen: Correspondences, robust: float = 2.5) -> Rigid:
    """`scipy.optimize.least_squares` on the same whitened residuals, derivatives by differences."""
    from scipy.optimize import least_squares

    def residual(twist: Array) -> Array:
        return linearize(map_from_camera.perturbed(twist), seen).residual.ravel()

    found = least_squares(residual, np.zeros(6), loss="cauchy", f_scale=robust)
    return map_from_camera.perturbed(found.x)


def triangulate_opencv(observations: Observations, tracks: list[NDArray[np.intp]]) -> Array:
    """(T, 3): `cv2.triangulatePoints` from the first and last view of each track; no refinement."""
    camera_from_map = observations.map_from_camera.inverse().matrix[:, :3]
    points = np.empty((len(tracks), 3))
    for row, seen in enumerate(tracks):
        first, last = seen[0], seen[-1]
        rays = observations.rays[[first, last]]
        homogeneous = cv2.triangulatePoints(
            camera_from_map[first], camera_from_map[last], rays[0][:, None], rays[1][:, None]
        )
        points[row] = homogeneous[:3, 0] / homogeneous[3, 0]
    return points


def triangulate_loop(observations: Observations, tracks: list[NDArray[np.intp]]) -> Array:
    """(T, 3): linear triangulation from all views of a track, then `least_squares` on each point."""
    from scipy.optimize import least_squares

    camera_from_map = observations.map_from_camera.inverse().matrix[:, :3]
    points = np.empty((len(tracks), 3))
    for row, seen in enumerate(tracks):
        matrix, rays, focal = camera_from_map[seen], observations.rays[seen], observations.focal[seen]
        rows = rays[:, :, None] * matrix[:, 2:] - matrix[:, :2]
        start = np.linalg.svd(rows.reshape(-1, 4))[2][-1]

        def residual(point: Array, m: Array = matrix, r: Array = rays, f: Array = focal) -> Array:
            local = m[:, :, :3] @ point + m[:, :, 3]
            return np.asarray(((local[:, :2] / local[:, 2:] - r) * f[:, None]).ravel())

        points[row] = least_squares(residual, start[:3] / start[3], loss="cauchy", f_scale=3.0).x
    return points


def covariance_loop(line: Linearization, weight: Array) -> Array:
    """s^2 (J^T W J)^-1 (6, 6), one correspondence at a time; the blocks left out."""
    normal, squared = np.zeros((6, 6)), 0.0
    for jacobian, residual, w in zip(line.jacobian, line.residual, weight, strict=True):
        normal += w * jacobian.T @ jacobian
        squared += w * float(residual @ residual)
    freedom = max(2 * float(weight.sum()) - 6, 1.0)
    return np.asarray(squared / freedom * np.linalg.inv(normal))
