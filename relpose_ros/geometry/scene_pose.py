"""Scene coordinates with their uncertainty -> camera poses with a covariance, and what speaks against them.

`estimate_scene_pose` finds a pose; here it is refined by generalised least squares with the uncertainty that
the network predicts, gets a covariance that knows that neighbouring cells err together, and is asked for a
rival: a pose elsewhere that explains what it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import residual_covariance
from relpose_ros.geometry.refinement import Correspondences, linearize, linearize_at_corrected, refine_pose
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_cells import SceneCells, cells_per_error
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_coordinate_ransac import estimate_scene_pose
from relpose_ros.geometry.scene_hypotheses import draw_hypotheses

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MEDIAN_CHI2_2 = 1.386
"""Median of the chi-square distribution with two degrees of freedom."""

CELLS_A_PATCH = 16
"""Neighbouring cells see nearly the same pixels and are right or wrong together: 4 x 4 count as one."""

_RIVALS, _RIVAL_DRAWS = 16, 1024
"""Hypotheses and minimal sets in the search for a rival: one that matters has many of the cells left."""

_FAR = 5.0
"""Thresholds of the search beyond which a cell is no inlier, however unsure of it the network is."""


@dataclass(frozen=True)
class ScenePoseOptions:
    """`ransac`: the robust search; `gate_sigma`: an inlier's largest Mahalanobis residual after refinement;
    `robust_sigma`: scale of the Cauchy weights; `relative_error`: the standard deviation of a coordinate that
    the network says nothing about, as a share of its depth (its size is fitted to the residuals; what
    matters is that the error is in the scene and not in the pixels); `pixel_noise`: beside it, px: what
    keeps a cell from deciding alone that is said to be perfect; `trusted_share`: of the cells, by
    predicted uncertainty, from which minimal sets are drawn; `rounds` of refining and finding the inliers
    again (the first ones are cut off at the threshold of the search); `same_distance` (share of the depth)
    and `same_angle` (rad): poses nearer than this are one; `same_sigma`: or nearer than so many standard
    deviations."""

    ransac: SceneRansacOptions = field(default_factory=SceneRansacOptions)
    gate_sigma: float = 4.0
    robust_sigma: float = 2.5
    relative_error: float = 0.01
    pixel_noise: float = 0.5
    trusted_share: float = 0.5
    rounds: int = 3
    same_distance: float = 0.05
    same_angle: float = 0.09
    same_sigma: float = 4.0


@dataclass(frozen=True, eq=False)
class SceneEstimate:
    """One pose, `map_from_camera`, with its raw `covariance` (6, 6), ROS order.

    `inliers` (N,): cells that agree as well as their uncertainty lets them: pose and covariance come of them;
    `agreeing` (N,): those of them within the threshold of the search, whatever they say of themselves, for a
    map that is unsure of everything agrees with any pose; `cells_per_error`: how many neighbouring cells err
    together, by which the covariance is larger; `rival`: support of the best pose elsewhere; `residual_px`:
    median reprojection error; `depth`: median distance to the inliers.
    """

    map_from_camera: Rigid
    covariance: Array
    inliers: Mask
    agreeing: Mask
    cells_per_error: float
    residual_px: float
    depth: float
    rival: float = 0.0

    @property
    def support(self) -> float:
        """Agreeing cells, in patches of `CELLS_A_PATCH`: what can be compared with a count of matches."""
        return float(self.agreeing.sum()) / CELLS_A_PATCH


def estimate_scene_poses(
    cells: SceneCells, options: ScenePoseOptions | None = None
) -> tuple[list[SceneEstimate], str]:
    """The best pose and, if what it leaves unexplained has one elsewhere, its rival; best first.

    Empty, with the reason in words, where no pose is agreed with. The same cells give the same answer.
    """
    options = options or ScenePoseOptions()
    best, reason = best_pose(cells, options)
    if best is None:
        return [], reason
    left = ~best.inliers & ~_within(options.ransac.threshold, best.map_from_camera, cells)
    # Too little is left over to make the first one doubtful.
    if left.sum() < max(options.ransac.needed(len(cells)), best.inliers.sum() // 5):
        return [best], ""
    quick = replace(
        options, rounds=1, ransac=replace(options.ransac, hypotheses=_RIVALS, max_draws=_RIVAL_DRAWS)
    )
    rival, _ = best_pose(cells[left], quick)
    if rival is None or same_place(best, rival, options):
        return [best], ""
    rival = replace(rival, inliers=_among(left, rival.inliers), agreeing=_among(left, rival.agreeing))
    pair = [replace(best, rival=rival.support), replace(rival, rival=best.support)]
    return sorted(pair, key=lambda e: -e.support), ""


def _among(chosen: Mask, of_them: Mask) -> Mask:
    """What is true `of_them` as a mask over all cells of which they are the `chosen`."""
    whole = chosen.copy()
    whole[chosen] = of_them
    return whole


def same_place(first: SceneEstimate, second: SceneEstimate, options: ScenePoseOptions) -> bool:
    """Whether two poses are one, as far as their covariances and the depth of the scene let it be told."""
    distance, angle = first.map_from_camera.distance_to(second.map_from_camera)
    sigma = np.sqrt(np.maximum(np.diag(first.covariance + second.covariance), 0.0))
    far = max(options.same_distance * first.depth, options.same_sigma * float(sigma[:3].max()))
    turned = max(options.same_angle, options.same_sigma * float(sigma[3:].max()))
    return bool(distance < far and angle < turned)


def best_pose(cells: SceneCells, options: ScenePoseOptions) -> tuple[SceneEstimate | None, str]:
    """The pose that most cells agree with, refined; or None and why."""
    if len(cells) < options.ransac.min_inliers:
        return None, f"only {len(cells)} cells have a coordinate, {options.ransac.min_inliers} are needed"
    centre = np.median(cells.points, axis=0)  # far from the origin, squares of coordinates lose digits
    cells = replace(cells, points=cells.points - centre)
    trusted = cells[_trusted(cells, options.trusted_share)]
    drawn = draw_hypotheses(trusted.points, trusted.targets, options.ransac)
    found = estimate_scene_pose(cells.points, cells.targets, options.ransac, drawn)
    if found.map_from_camera is None:
        return None, found.reason
    refined = _refined(found.map_from_camera, cells, found.inliers, options)
    if refined is None:
        return None, "the cells that agree do not determine a pose"
    pose = refined.map_from_camera
    return replace(refined, map_from_camera=Rigid(pose.rotation, pose.translation + centre)), ""


def _trusted(cells: SceneCells, share: float) -> NDArray[np.int64]:
    """The cells from which minimal sets are drawn: those of which the network is surest."""
    if cells.covariances is None:
        return np.arange(len(cells))
    spread = np.trace(cells.covariances, axis1=1, axis2=2)
    count = max(int(share * len(cells)), min(len(cells), 100))
    return np.sort(np.argsort(spread, kind="stable")[:count])


def _refined(
    start: Rigid, cells: SceneCells, inliers: Mask, options: ScenePoseOptions
) -> SceneEstimate | None:
    """Generalised least squares from the cells that agree with `start`, found again on the way."""
    pose, chosen = start, inliers
    for left in reversed(range(options.rounds)):
        if chosen.sum() < options.ransac.min_inliers:
            return None
        seen = _correspondences(pose, cells, chosen, options)
        # What it costs to be unbiased is worth it at the end alone.
        linearization = linearize if left else linearize_at_corrected
        pose, _, _ = refine_pose(pose, seen[chosen], options.robust_sigma, linearization=linearization)
        chosen = linearize(pose, seen).squared < options.gate_sigma**2
        chosen &= _within(_FAR * options.ransac.threshold, pose, cells)
    if chosen.sum() < options.ransac.min_inliers:
        return None
    line = linearize_at_corrected(pose, seen[chosen])
    weight = 1 / (1 + line.squared / options.robust_sigma**2)
    together = cells_per_error(line.residual * weight[:, None], cells.grid[chosen])
    residual = cells.targets.residuals((cells.points - pose.translation) @ pose.rotation)[chosen]
    return SceneEstimate(
        pose,
        _small_sample(len(weight) / together) * together * residual_covariance(line, weight),
        chosen,
        chosen & _within(options.ransac.threshold, pose, cells),
        together,
        float(np.median(np.linalg.norm(residual, axis=1))),
        float(np.median(np.linalg.norm(cells.points[chosen] - pose.translation, axis=1))),
    )


def _correspondences(
    pose: Rigid, cells: SceneCells, inliers: Mask, options: ScenePoseOptions
) -> Correspondences:
    """The cells, with units in which a median inlier is as far off as it should be.

    The noise of a reprojection error is u^2 (p^2 I + J S J^T) with p pixels of noise and the predicted
    covariance S; the unit u says by how much that is too little or too much, in this frame.
    """
    covariances = cells.covariances
    if covariances is None:
        depth = ((cells.points - pose.translation) @ pose.rotation)[:, 2]
        covariances = (options.relative_error * depth)[:, None, None] ** 2 * np.eye(3)
    focal = cells.focal / options.pixel_noise
    seen = Correspondences(cells.rays, cells.points, covariances, focal)
    squared = float(np.median(linearize(pose, seen[inliers]).squared)) / _MEDIAN_CHI2_2
    unit = max(squared, 1e-4) ** 0.5
    return Correspondences(cells.rays, cells.points, covariances * unit**2, focal / unit)


def _small_sample(errors: float) -> float:
    """What six fitted parameters take out of the residuals of so many independent errors (2)."""
    return 2 * errors / max(2 * errors - 6, 1.0)


def _within(pixels: float, pose: Rigid, cells: SceneCells) -> Mask:
    """Cells before the camera whose reprojection error is less than so many pixels."""
    local = (cells.points - pose.translation) @ pose.rotation
    return np.asarray(cells.targets.squared_errors(local.T, True) < pixels**2)
