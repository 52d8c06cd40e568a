"""Robust pose solvers. The only file that calls the RANSAC library (PoseLib)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RansacOptions:
    """`max_error_px`: inlier threshold (reprojection, or Sampson); iteration bounds; seed."""

    max_error_px: float = 6.0
    min_iterations: int = 50
    max_iterations: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class RobustPose:
    """A pose as its solver's name says, and which correspondences agree with it (N,) bool."""

    pose: Rigid
    inliers: NDArray[np.bool_]


def absolute_pose(
    rays: Array, points: Array, focal: float, options: RansacOptions | None = None
) -> RobustPose | None:
    """`map_from_camera` from rays (N, 2) on z = 1 and map points (N, 3) in metres.

    `focal` turns the pixel threshold into an angle. None when fewer than four finite
    correspondences are given or no model is found.
    """
    import poselib

    options = options or RansacOptions()
    finite = np.asarray(np.isfinite(rays).all(axis=1) & np.isfinite(points).all(axis=1))
    if finite.sum() < 4:
        return None
    # PoseLib works in float64 but scales badly far from the origin: give it local points.
    origin = np.median(points[finite], axis=0)
    pose, info = poselib.estimate_absolute_pose(
        rays[finite] * focal,
        points[finite] - origin,
        _camera(focal),
        _ransac(options, "max_reproj_error"),
        {"loss_type": "CAUCHY", "loss_scale": 1.0},
    )
    camera_from_map = Rigid(np.array(pose.R), np.array(pose.t))
    return _result(camera_from_map.inverse(), info, finite, origin)


def generalized_pose(
    rays: Sequence[Array],
    points: Sequence[Array],
    focals: Sequence[float],
    base_from_camera: Rigid,
    options: RansacOptions | None = None,
) -> Rigid | None:
    """`map_from_base` of a rig of C cameras from rays (N_c, 2) on z = 1 and map points (N_c, 3) of each.

    `base_from_camera` (C,) batched; the threshold is in pixels of each camera, by its focal length. Samples
    are drawn from all cameras (gp3p), so no camera need see enough by itself. None when fewer than four
    finite correspondences are given or no model is found.
    """
    import poselib

    options = options or RansacOptions()
    pairs = zip(rays, points, strict=True)
    finite = [np.isfinite(r).all(axis=1) & np.isfinite(p).all(axis=1) for r, p in pairs]
    # A camera without matches would be drawn from all the same.
    seeing = [c for c, known in enumerate(finite) if known.any()]
    if sum(int(known.sum()) for known in finite) < 4:
        return None
    origin = np.median(np.concatenate([points[c][finite[c]] for c in seeing]), axis=0)
    pose, info = poselib.estimate_generalized_absolute_pose(
        [rays[c][finite[c]] * focals[c] for c in seeing],
        [points[c][finite[c]] - origin for c in seeing],
        [_pose(base_from_camera[c].inverse()) for c in seeing],
        [_camera(focals[c]) for c in seeing],
        _ransac(options, "max_reproj_error"),
        {"loss_type": "CAUCHY", "loss_scale": 1.0},
    )
    base_from_map = Rigid(np.array(pose.R), np.array(pose.t))
    if not info["num_inliers"] or not np.isfinite(base_from_map.matrix).all():
        return None
    local = np.concatenate([points[c][finite[c]] for c in seeing]) - origin
    map_from_base = _rounded(base_from_map.inverse(), float(np.median(np.linalg.norm(local, axis=1))))
    return Rigid(map_from_base.rotation, map_from_base.translation + origin)


def relative_pose(
    first_rays: Array, second_rays: Array, focal: float, options: RansacOptions | None = None
) -> RobustPose | None:
    """`second_from_first`, translation of length 1, from ray pairs (N, 2), (N, 2) on z = 1.

    By the essential matrix (five points, Nister 2004). None when fewer than six finite pairs
    are given or no model is found.
    """
    import poselib

    options = options or RansacOptions(max_error_px=1.5)
    finite = np.asarray(np.isfinite(first_rays).all(axis=1) & np.isfinite(second_rays).all(axis=1))
    if finite.sum() < 6:
        return None
    pose, info = poselib.estimate_relative_pose(
        first_rays[finite] * focal,
        second_rays[finite] * focal,
        _camera(focal),
        _camera(focal),
        _ransac(options, "max_epipolar_error"),
        {"loss_type": "CAUCHY", "loss_scale": 0.5},
    )
    length = np.linalg.norm(pose.t)  # PoseLib's refinement lets it drift from 1 by 1e-4
    if not length > 0:
        return None
    second_from_first = Rigid(np.array(pose.R), np.array(pose.t) / length)
    return _result(second_from_first, info, finite, np.zeros(3))


def shared_focal(first: Camera, second: Camera) -> float:
    """The focal length that makes one pixel threshold fair to two cameras."""
    return 0.5 * (first.focal + second.focal)


def _rounded(pose: Rigid, size: float) -> Rigid:
    """To 1e-7 rad and of a scene's `size`: gp3p draws numbers that no seed rules, its last digits differ."""
    turn = np.round(pose.rotation_vector, 7)
    unit = 1e-7 * max(size, 1e-9)
    return Rigid.from_rotation_vector(turn, np.round(pose.translation / unit) * unit)


def _pose(camera_from_base: Rigid) -> Any:
    import poselib

    pose = poselib.CameraPose()
    pose.R, pose.t = camera_from_base.rotation, camera_from_base.translation
    return pose


def _camera(focal: float) -> dict[str, Any]:
    return {"model": "SIMPLE_PINHOLE", "width": 1, "height": 1, "params": [focal, 0.0, 0.0]}


def _ransac(options: RansacOptions, threshold: str) -> dict[str, Any]:
    return {
        threshold: options.max_error_px,
        "min_iterations": options.min_iterations,
        "max_iterations": options.max_iterations,
        "seed": options.seed,
    }


def _result(pose: Rigid, info: dict[str, Any], finite: NDArray[np.bool_], origin: Array) -> RobustPose | None:
    inliers = np.zeros(len(finite), np.bool_)
    inliers[finite] = np.asarray(info["inliers"], np.bool_)
    sane = np.isfinite(pose.rotation).all() and np.isfinite(pose.translation).all()
    if not inliers.any() or not sane:
        return None
    return RobustPose(Rigid(pose.rotation, pose.translation + origin), inliers)
