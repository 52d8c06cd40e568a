"""A two-view estimator as an argument: what a matcher calls to learn the pose that its matches say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.essential_opencv import EssentialOptions, Pixels, relative_pose_opencv
from relpose_ros.geometry.robust import RansacOptions, RobustPose, relative_pose, shared_focal

Array = NDArray[np.float64]

TwoViewEstimator = Callable[[Pixels, Pixels], RobustPose | None]
"""Pixels (N, 2), (N, 2) of matches -> `second_from_first` of unit length and inliers (N,), or None."""


def robust_estimator(first: Camera, second: Camera, options: RansacOptions | None = None) -> TwoViewEstimator:
    """What robots use: PoseLib, for any camera model."""

    def estimate(first_pixels: Pixels, second_pixels: Pixels) -> RobustPose | None:
        rays1 = first.rays(np.asarray(first_pixels, float))
        rays2 = second.rays(np.asarray(second_pixels, float))
        return relative_pose(rays1, rays2, shared_focal(first, second), options)

    return estimate


def opencv_estimator(
    first_matrix: Array, second_matrix: Array, options: EssentialOptions | None = None
) -> TwoViewEstimator:
    """What published protocols use: OpenCV, for pinhole intrinsics (3, 3), (3, 3)."""

    def estimate(first_pixels: Pixels, second_pixels: Pixels) -> RobustPose | None:
        return relative_pose_opencv(first_pixels, second_pixels, first_matrix, second_matrix, options)

    return estimate
