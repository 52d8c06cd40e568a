"""The expected pose error of the robust estimator and its derivative by the scene coordinates, for one image.

Brachmann and Rother, "Visual Camera Re-Localization from RGB and RGB-D Images Using DSAC", TPAMI 2021: E =
sum_h p_h l(refined pose h) with p = softmax of the soft inlier scores. A hypothesis depends on the scene
coordinates through its refinement (path I) and through its score (path II: of every cell, and of the cells
that made it). Hypotheses and inlier sets are constants of the derivative. `expected_pose_loss` is this for
tensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.pose_sensitivity import pose_sensitivity
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import (
    SceneRansacOptions,
    cell_errors,
    refine_on_inliers,
    soft_inliers,
    softmax,
)
from relpose_ros.geometry.scene_hypotheses import Hypotheses, draw_hypotheses
from relpose_ros.geometry.scene_targets import PointTargets, RayTargets
from relpose_training.losses.pose_error import PoseErrorWeights, pose_error
from relpose_training.losses.published_pose_gradient import (
    length_jacobian,
    published_minimal_sensitivity,
    published_refined_sensitivity,
)

Array = NDArray[np.float64]

CONVERGED = 1e-11
"""Metres and radians: implicit differentiation is for the optimum itself."""


@dataclass(frozen=True)
class ExpectedPoseOptions:
    """`prune`: hypotheses that are less probable are left out; `limit`: a pose that moves more than this,
    in metres or radians per metre of a coordinate, is ill-conditioned and its derivative is scaled down to
    it.

    `compat`: the published behaviour. Hypotheses below `prune` stay in the sum with the error of the
    unrefined pose and without a derivative; derivatives are those of `published_pose_gradient`;
    `pose_error` likewise.
    """

    ransac: SceneRansacOptions = field(default_factory=SceneRansacOptions)
    weights: PoseErrorWeights = field(default_factory=PoseErrorWeights)
    prune: float = 1e-3
    limit: float = 10.0
    compat: bool = False


@dataclass(frozen=True)
class Expectation:
    """The loss, its derivative by the scene coordinates (N, 3), and the hypotheses' probabilities (H,)."""

    value: float
    gradient: Array
    probabilities: Array


def expected_pose_error(
    points: Array,
    targets: RayTargets | PointTargets,
    truth: Rigid,
    options: ExpectedPoseOptions,
    hypotheses: Hypotheses | None = None,
) -> Expectation:
    """The loss of one image: `points` (N, 3) predicted for `targets`, `truth` is `map_from_camera`.

    `hypotheses` are drawn if not given. Without any, and that happens when no minimal set has a solution,
    value and derivative are zero.
    """
    drawn = draw_hypotheses(points, targets, options.ransac) if hypotheses is None else hypotheses
    gradient = np.zeros_like(points)
    if not len(drawn):
        return Expectation(0.0, gradient, np.zeros(0))
    errors = cell_errors(drawn.map_from_camera, points, targets, options.ransac)
    chances = softmax(soft_inliers(errors, options.ransac))
    kept = np.flatnonzero(chances >= options.prune)
    losses = np.zeros(len(drawn))
    known: dict[bytes, tuple[float, Array]] = {}
    for h in np.flatnonzero(chances < options.prune) if options.compat else ():
        losses[h] = pose_error(drawn.map_from_camera[h], truth, options.weights, True)[0]
    if not options.compat:
        chances = np.where(chances >= options.prune, chances, 0.0)
        chances = chances / chances.sum()
    for h in kept:
        losses[h], by_refined = _refined(drawn.map_from_camera[h], points, targets, truth, options, known)
        gradient += chances[h] * by_refined
    value = float(chances @ losses)
    for h in kept:
        by_score = chances[h] * (losses[h] - value)
        gradient += by_score * _score_gradient(drawn, int(h), points, targets, errors[h], options)
    return Expectation(value, gradient, chances)


def _refined(
    start: Rigid,
    points: Array,
    targets: RayTargets | PointTargets,
    truth: Rigid,
    options: ExpectedPoseOptions,
    known: dict[bytes, tuple[float, Array]],
) -> tuple[float, Array]:
    """Loss of a hypothesis after refinement and its derivative by all scene coordinates (N, 3): path I.

    Most hypotheses end on the same inliers, hence in the same optimum: `known` has those met before.
    """
    rough = CONVERGED if options.compat else 1e-3
    pose, used = refine_on_inliers(start, points, targets, options.ransac, rough, rough)
    found = known.get(used.tobytes())
    if found is not None and used.any():
        return found
    gradient = np.zeros_like(points)
    cells, seen = points[used], targets[used]
    if used.any():
        pose = seen.fit(cells, pose, CONVERGED)
    loss, by_twist = pose_error(pose, truth, options.weights, options.compat)
    if used.any():
        if options.compat:
            moves = published_refined_sensitivity(pose, cells, seen, options.ransac.max_error)
        else:
            moves = bounded_sensitivity(pose, cells, seen, options.limit)
        gradient[used] = np.einsum("k,nkj->nj", by_twist, moves)
    known[used.tobytes()] = loss, gradient
    return loss, gradient


def _score_gradient(
    drawn: Hypotheses,
    h: int,
    points: Array,
    targets: RayTargets | PointTargets,
    errors: Array,
    options: ExpectedPoseOptions,
) -> Array:
    """Derivative of the soft inlier score of hypothesis `h` by all scene coordinates (N, 3): path II."""
    ransac = options.ransac
    pose, own = drawn.map_from_camera[h], drawn.sets[h]
    inlying = 1 / (1 + np.exp(ransac.steepness * (errors - ransac.threshold)))
    weight = -ransac.sharpness / len(points) * ransac.steepness * inlying * (1 - inlying)
    weight = np.where(errors < ransac.max_error, weight, 0.0)
    near = np.flatnonzero(weight)
    by_twist, by_point, _ = length_jacobian(pose, points[near], targets[near])
    gradient = np.zeros_like(points)
    gradient[near] = weight[near, None] * by_point
    if options.compat:
        moves = published_minimal_sensitivity(pose, points[own], targets[own])
    else:
        moves = bounded_sensitivity(pose, points[own[:3]], targets[own[:3]], options.limit)
    np.add.at(gradient, own[:3], np.einsum("k,nkj->nj", weight[near] @ by_twist, moves))
    return gradient


def bounded_sensitivity(
    pose: Rigid, points: Array, targets: RayTargets | PointTargets, limit: float
) -> Array:
    """`pose_sensitivity` (N, 6, 3), scaled so that no entry exceeds `limit`; zero where it does not exist."""
    try:
        moves = pose_sensitivity(pose, points, targets)
    except np.linalg.LinAlgError:
        return np.zeros((len(points), 6, 3))
    largest = float(np.abs(moves).max())
    if not np.isfinite(largest):
        return np.zeros_like(moves)
    return moves * min(1.0, limit / max(largest, 1e-12))
