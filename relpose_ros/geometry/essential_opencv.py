"""The essential matrix by OpenCV: the two-view estimator that the published matching protocols score with.

A robot uses `geometry/robust.py`; this one exists so that published numbers can be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RobustPose

Array = NDArray[np.float64]
Pixels = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class EssentialOptions:
    """How OpenCV estimates. Published: `magsac`, 1 px on YFCC and 3 px on ScanNet.

    `max_error_px` is for the mean of both cameras' intrinsics; `max_depth`, in baselines, is how far
    a point may be and still count as in front of both cameras. `compat` does two things as published:
    RANSAC's outliers stay in the inlier mask (it was compared with `>= 0`), and both images' rays come
    from the mean of the two intrinsic matrices when points are put in front of the cameras.
    """

    method: Literal["magsac", "ransac"] = "magsac"
    max_error_px: float = 1.0
    confidence: float = 0.99999
    max_depth: float = 1000.0
    compat: bool = False


@dataclass(frozen=True)
class EssentialPose(RobustPose):
    """`pose` is `second_from_first`, translation of length 1; `essential` (3, 3) as OpenCV found it."""

    essential: Array


def relative_pose_opencv(
    first: Pixels,
    second: Pixels,
    first_matrix: Array,
    second_matrix: Array,
    options: EssentialOptions | None = None,
) -> EssentialPose | None:
    """`second_from_first` from pixels (N, 2), (N, 2) without distortion and intrinsics (3, 3), (3, 3).

    None when fewer than five different finite pairs are given or no model is found. Deterministic. Raises
    ConfigurationError for an unknown method.
    """
    options = options or EssentialOptions()
    finite = np.asarray(np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1))
    if len(np.unique(np.concatenate([first, second], axis=1)[finite], axis=0)) < 5:
        return None
    found = _find_essentials(first[finite], second[finite], first_matrix, second_matrix, options)
    if found is None:
        return None
    candidates, consensus = found
    mean = (first_matrix + second_matrix) / 2
    rays1 = _rays(first[finite], mean if options.compat else first_matrix)
    rays2 = _rays(second[finite], mean if options.compat else second_matrix)
    posed = [
        decompose_essential(e, rays1[consensus], rays2[consensus], options.max_depth) for e in candidates
    ]
    best = int(np.argmax([p.inliers.sum() for p in posed]))
    if not posed[best].inliers.any():
        return None
    agreeing = np.full(len(rays1), options.compat)
    agreeing[consensus] = posed[best].inliers
    inliers = np.zeros(len(first), np.bool_)
    inliers[finite] = agreeing
    return EssentialPose(posed[best].pose, inliers, candidates[best])


def decompose_essential(essential: Array, first: Array, second: Array, max_depth: float) -> RobustPose:
    """The one of the four `second_from_first` of `essential` with most points in front of both cameras.

    `first`, `second`: rays (N, 2) on z = 1; `inliers` says which of them are at a depth between 0 and
    `max_depth` baselines in both (Hartley and Zisserman 2004, ch. 9.6). Of equals the first.
    """
    import cv2

    turn1, turn2, direction = cv2.decomposeEssentialMat(essential)
    turns = [np.asarray(turn, float) for turn in (turn1, turn2)]
    translation = np.asarray(direction, float).ravel()
    poses = [Rigid(turn, sign * translation) for sign in (1, -1) for turn in turns]
    visible = [_in_front(pose, first, second, max_depth) for pose in poses]
    best = int(np.argmax([mask.sum() for mask in visible]))
    return RobustPose(poses[best], visible[best])


def _find_essentials(
    first: Pixels, second: Pixels, first_matrix: Array, second_matrix: Array, options: EssentialOptions
) -> tuple[list[Array], NDArray[np.bool_]] | None:
    """Essential matrices (more than one where OpenCV cannot choose) and which pairs agree with them."""
    import cv2

    methods = {"magsac": cv2.USAC_MAGSAC, "ransac": cv2.RANSAC}
    if options.method not in methods:
        raise ConfigurationError(f"unknown method {options.method!r}; expected one of {', '.join(methods)}")
    stacked, mask = cv2.findEssentialMat(
        np.ascontiguousarray(first),
        np.ascontiguousarray(second),
        first_matrix,
        None,
        second_matrix,
        None,
        method=methods[options.method],
        prob=options.confidence,
        threshold=options.max_error_px,
    )
    if stacked is None or stacked.size % 9 or not np.isfinite(stacked).all():
        return None
    consensus = np.asarray(mask, bool).ravel()
    if not consensus.any():
        return None
    return list(np.asarray(stacked, float).reshape(-1, 3, 3)), consensus


def _rays(pixels: Pixels, matrix: Array) -> Array:
    return np.asarray((pixels - matrix[[0, 1], [2, 2]]) / matrix[[0, 1], [0, 1]], float)


def _in_front(pose: Rigid, first: Array, second: Array, max_depth: float) -> NDArray[np.bool_]:
    import cv2

    projection = np.concatenate([pose.rotation, pose.translation[:, None]], axis=1)
    homogeneous = cv2.triangulatePoints(np.eye(3, 4), projection, first.T.copy(), second.T.copy())
    with np.errstate(divide="ignore", invalid="ignore"):
        points = (homogeneous[:3] / homogeneous[3]).T
        depth1, depth2 = points[:, 2], pose.apply(points)[:, 2]
        return np.asarray((depth1 > 0) & (depth1 < max_depth) & (depth2 > 0) & (depth2 < max_depth))
