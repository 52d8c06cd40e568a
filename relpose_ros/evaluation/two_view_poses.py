"""Relative poses from classified correspondences by the two published protocols, for comparable numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.essential_opencv import EssentialOptions, decompose_essential, relative_pose_opencv
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]

FEWEST = 5
"""Correspondences that an essential matrix takes at least."""

MAX_DEPTH = 50.0
"""In baselines; points further away do not help to choose among the four poses of an essential matrix."""

RANSAC = EssentialOptions(method="ransac", max_error_px=1e-3, confidence=0.999, max_depth=MAX_DEPTH)
"""The threshold is on the plane z = 1 (Zhang et al., OANet, ICCV 2019, sec. 4)."""


def pose_of_essential(essential: Array, correspondences: Array, logits: Array) -> Rigid | None:
    """`second_from_first` (unit translation) of an estimated E (3, 3), without RANSAC.

    The best tenth of `correspondences` (N, 4: x1, y1, x2, y2 on the plane z = 1) by `logits` (N,) decides
    which of the four poses of E it is. None when fewer than five take part or none is found.
    """
    if not len(logits):
        return None
    best = logits >= np.sort(logits)[::-1][len(logits) // 10]
    if best.sum() < FEWEST:
        return None
    first, second = _two_images(correspondences[best])
    found = decompose_essential(np.asarray(essential, float), first, second, MAX_DEPTH)
    return found.pose if found.inliers.any() else None


def pose_by_ransac(correspondences: Array, logits: Array) -> Rigid | None:
    """`second_from_first` (unit translation) by RANSAC over the correspondences that are called inliers.

    `correspondences` (N, 4) on the plane z = 1; `logits` (N,), inliers from 0 on. None when fewer than five
    are called inliers or no pose is found.
    """
    first, second = _two_images(correspondences[logits >= 0])
    found = relative_pose_opencv(first, second, np.eye(3), np.eye(3), RANSAC)
    return None if found is None else found.pose


def _two_images(correspondences: Array) -> tuple[Array, Array]:
    """Points (N, 2) of both images, float64."""
    points = np.asarray(correspondences, np.float64).reshape(-1, correspondences.shape[-1])
    return points[:, :2].copy(), points[:, 2:4].copy()
