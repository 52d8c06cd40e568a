"""Robust estimators and the plain filters that a network is measured against, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.two_view_poses import RANSAC
from relpose_ros.geometry.essential_opencv import EssentialOptions, relative_pose_opencv
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions, relative_pose
from relpose_training.data.pair_correspondences import PairCorrespondences

Array = NDArray[np.float64]
EstimatorName = Literal["poselib", "opencv", "magsac"]
Estimator = Callable[[Array], Rigid | None]
"""Correspondences (N, 4) on the plane z = 1 -> `second_from_first`, unit translation, or None."""

ESTIMATORS: tuple[EstimatorName, ...] = get_args(EstimatorName)

THRESHOLD = 1e-3
"""On the plane z = 1: one pixel at a focal length of 1000 (Zhang et al., OANet, ICCV 2019, sec. 4)."""

FOCAL = 1000.0
"""PoseLib's robust loss is in pixels: it gets the points as a camera of this focal length would see them."""


def make_estimator(name: str, threshold: float = THRESHOLD) -> Estimator:
    """An estimator by name, with its inlier threshold on the plane z = 1.

    poselib: LO-RANSAC, what the robot uses. opencv: RANSAC, with 1e-3 the protocol of OANet. magsac:
    OpenCV's USAC. Raises ConfigurationError for another name.
    """
    if name == "poselib":
        return partial(_poselib, options=RansacOptions(max_error_px=threshold * FOCAL))
    if name == "opencv":
        return partial(_opencv, options=replace(RANSAC, max_error_px=threshold))
    if name == "magsac":
        return partial(_opencv, options=EssentialOptions("magsac", max_error_px=threshold))
    raise ConfigurationError(f"unknown estimator {name!r}; expected one of {', '.join(ESTIMATORS)}")


def describe_estimator(name: str, threshold: float) -> str:
    """What it is, for a table."""
    known = {
        "poselib": "PoseLib's LO-RANSAC (Sampson)",
        "opencv": "OpenCV's RANSAC at confidence 0.999",
        "magsac": "OpenCV's USAC_MAGSAC",
    }
    return f"{known[name]}, threshold {threshold:g} on the plane z = 1"


def plain_filters(pair: PairCorrespondences, ratio: float) -> dict[str, NDArray[np.bool_]]:
    """Masks (n,) of what simple rules keep: everything, mutual neighbours, clear ratios, and both."""
    mutual, clear = pair.mutual > 0.5, pair.ratios < ratio
    return {
        "all": np.ones(len(pair), np.bool_),
        "mutual": mutual,
        "ratio": clear,
        "mutual, ratio": mutual & clear,
    }


def different(correspondences: Array) -> Array:
    """The different rows of (N, 4), in their order: repetitions must not vote twice."""
    _, first = np.unique(correspondences, axis=0, return_index=True)
    return correspondences[np.sort(first)]


def _poselib(correspondences: Array, options: RansacOptions) -> Rigid | None:
    first, second = correspondences[:, :2], correspondences[:, 2:4]
    found = relative_pose(first, second, FOCAL, options)
    return None if found is None else found.pose


def _opencv(correspondences: Array, options: EssentialOptions) -> Rigid | None:
    first, second = correspondences[:, :2].copy(), correspondences[:, 2:4].copy()
    found = relative_pose_opencv(first, second, np.eye(3), np.eye(3), options)
    return None if found is None else found.pose
