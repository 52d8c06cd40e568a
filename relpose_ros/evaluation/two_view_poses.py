"""Relative poses from classified correspondences by the two published protocols, for comparable numbers.

A robot's poses come from geometry/robust.py instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]

FEWEST = 5
"""Correspondences that an essential matrix takes at least."""

RANSAC_THRESHOLD = 1e-3
"""Epipolar distance on the plane z = 1 (Zhang et al., OANet, ICCV 2019, sec. 4)."""


def pose_of_essential(essential: Array, correspondences: Array, logits: Array) -> Rigid | None:
    """`second_from_first` (unit translation) of an estimated E (3, 3), without RANSAC.

    The best tenth of `correspondences` (N, 4: x1, y1, x2, y2 on the plane z = 1) by `logits` (N,) decides
    which of the four poses of E it is. None when fewer than five take part or none is found.
    """
    if not len(logits):
        return None
    best = logits >= np.sort(logits)[::-1][len(logits) // 10]
    return _recover(essential, correspondences[best], None)


def pose_by_ransac(correspondences: Array, logits: Array) -> Rigid | None:
    """`second_from_first` (unit translation) by RANSAC over the correspondences that are called inliers.

    `correspondences` (N, 4) on the plane z = 1; `logits` (N,), inliers from 0 on. Of several solutions the
    one with most points in front. None when fewer than five are called inliers or none is found.
    """
    import cv2

    if not len(logits):
        return None
    kept = _float64(correspondences)[logits >= max(0.0, float(logits.min()))]
    if len(kept) < FEWEST:
        return None
    solutions: Any
    solutions, inliers = cv2.findEssentialMat(
        kept[:, :2], kept[:, 2:], np.eye(3), method=cv2.RANSAC, threshold=RANSAC_THRESHOLD
    )
    if solutions is None:  # the stubs deny it
        return None
    stacked = _float64(solutions).reshape(-1, 3, 3)
    found = [_points_and_pose(essential, kept, inliers) for essential in stacked]
    points, pose = max(found, key=lambda item: item[0])
    return pose if points > 0 else None


def _recover(essential: Array, correspondences: Array, inliers: Any) -> Rigid | None:
    if len(correspondences) < FEWEST:
        return None
    points, pose = _points_and_pose(_float64(essential), _float64(correspondences), inliers)
    return pose if points > 0 else None


def _points_and_pose(essential: Array, correspondences: Array, inliers: Any) -> tuple[int, Rigid]:
    """How many points are in front of both cameras in the best of the four poses of E, and that pose."""
    import cv2

    mask = None if inliers is None else inliers.copy()  # recoverPose writes into it
    first, second = correspondences[:, :2].copy(), correspondences[:, 2:4].copy()
    points, rotation, translation, _ = cv2.recoverPose(essential, first, second, np.eye(3), mask=mask)
    return int(points), Rigid(_float64(rotation), _float64(translation)[:, 0])


def _float64(values: Any) -> Array:
    return np.ascontiguousarray(values, dtype=np.float64)
