"""How well a pose agrees with dense scene coordinates: capped errors, soft inlier scores, inlier refinement.

Brachmann and Rother, "Visual Camera Re-Localization from RGB and RGB-D Images Using DSAC", TPAMI 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_targets import Targets

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SceneRansacOptions:
    """Units of `threshold` and `max_error`: pixels for rays, metres for the points of a depth camera.

    `threshold`: how far off an inlier may be; `max_error`: what a larger error counts as; `sharpness`:
    scale of the scores before their softmax (alpha in the paper); `hypotheses`: how many are kept;
    `max_draws`: how many minimal sets are tried at most; `min_inliers` and `min_share` of all cells: a pose
    with fewer is a failure (a wrong one is agreed with by chance); `cheirality`: a point behind the camera
    agrees with nothing (False: it may, as in the published code).
    """

    threshold: float = 10.0
    max_error: float = 100.0
    sharpness: float = 100.0
    hypotheses: int = 64
    max_draws: int = 8192
    min_inliers: int = 12
    min_share: float = 0.02
    seed: int = 0
    cheirality: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.threshold < self.max_error or self.hypotheses < 1 or self.max_draws < 1:
            raise ConfigurationError(
                f"expected 0 < threshold < max_error, hypotheses >= 1 and max_draws >= 1, got {self}"
            )

    def needed(self, cells: int) -> int:
        """Inliers that a pose on so many cells must have."""
        return max(self.min_inliers, math.ceil(self.min_share * cells))

    @property
    def steepness(self) -> float:
        """Of the sigmoid that makes an inlier soft (beta in the paper)."""
        return 5.0 / self.threshold


def squared_cell_errors(
    map_from_camera: Rigid, points: Array, targets: Targets, cheirality: bool = True
) -> Array:
    """Squared residuals (H, N) of points (N, 3) at poses batched (H); infinite where there is none."""
    camera_from_map = np.swapaxes(map_from_camera.rotation, 1, 2)
    origin = (camera_from_map @ map_from_camera.translation[:, :, None]).transpose(1, 0, 2)
    # One matrix product for all poses: (3 H, 3) @ (3, N).
    local = (camera_from_map.transpose(1, 0, 2).reshape(-1, 3) @ points.T).reshape(
        3, len(map_from_camera.rotation), -1
    )
    local -= origin
    squared = targets.squared_errors(local, cheirality)
    squared[np.isnan(squared)] = np.inf
    return squared


def cell_errors(
    map_from_camera: Rigid, points: Array, targets: Targets, options: SceneRansacOptions
) -> Array:
    """Lengths of the residuals of points (N, 3) at poses batched (H): (H, N), at most `max_error`."""
    squared = squared_cell_errors(map_from_camera, points, targets, options.cheirality)
    return np.asarray(np.minimum(np.sqrt(squared, out=squared), options.max_error, out=squared))


def soft_inliers(errors: Array, options: SceneRansacOptions) -> Array:
    """`sharpness` times the mean of sigmoid(steepness (threshold - error)): errors (H, N) -> scores (H,)."""
    inlying = 1 / (1 + np.exp(options.steepness * (errors - options.threshold)))
    return np.asarray(options.sharpness * inlying.mean(axis=1))


def softmax(scores: Array) -> Array:
    """Probabilities (H,) of hypotheses with these scores (H,)."""
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


def entropy_bits(probabilities: Array) -> float:
    """-sum p log2 p: 0 where one hypothesis has all the probability."""
    p = probabilities[probabilities > 0]
    return float(-(p * np.log2(p)).sum())


def refine_on_inliers(
    start: Rigid,
    points: Array,
    targets: Targets,
    options: SceneRansacOptions,
    tolerance: float = 1e-6,
    rough: float = 1e-3,
) -> tuple[Rigid, Mask]:
    """Fit to the inliers, find them again, until they are no more than before.

    Returns the pose and the cells (N,) bool that it is the least-squares optimum of, to `tolerance` in
    metres and radians; on the way there `rough` will do. Where no more cells than `targets.minimum` agree
    with `start` it is returned, with no cell.
    """
    pose, used = start, np.zeros(len(points), np.bool_)
    best = targets.minimum
    for _ in range(100):
        inliers = cell_errors(pose[None], points, targets, options)[0] < options.threshold
        count = int(inliers.sum())
        if count <= best:
            break
        best, used = count, inliers
        pose = targets[used].fit(points[used], pose, rough)
    if used.any() and tolerance < rough:
        pose = targets[used].fit(points[used], pose, tolerance)
    return pose, used
