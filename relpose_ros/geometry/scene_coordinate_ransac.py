"""The pose of a camera from dense scene coordinates: batched hypotheses, soft inlier scores, refinement.

Brachmann and Rother, "Visual Camera Re-Localization from RGB and RGB-D Images Using DSAC", TPAMI 2021. The
number of minimal sets is bounded, a seed gives the same answer, and a map that agrees with no pose says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_hypotheses import Hypotheses, draw_hypotheses, draw_published
from relpose_ros.geometry.scene_targets import Targets

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SceneRansacOptions:
    """Units of `threshold` and `max_error`: pixels for rays, metres for the points of a depth camera.

    `threshold`: what an inlier may be off; `max_error`: larger residuals count as this; `sharpness`: the
    scores' scale before the softmax (alpha in the paper); `hypotheses`: how many are kept; `max_draws`: how many
    minimal sets are tried at most; `min_inliers`: a pose with fewer is a failure; `compat`: draw, score and
    refine as the published C++ code does (points behind the camera may agree; nothing but `max_draws`
    bounds the search).
    """

    threshold: float = 10.0
    max_error: float = 100.0
    sharpness: float = 100.0
    hypotheses: int = 64
    max_draws: int = 8192
    min_inliers: int = 12
    seed: int = 0
    compat: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold < self.max_error or self.hypotheses < 1 or self.max_draws < 1:
            raise ConfigurationError(
                f"expected 0 < threshold < max_error, hypotheses >= 1 and max_draws >= 1, got {self}"
            )


@dataclass(frozen=True)
class ScenePose:
    """`map_from_camera` is None where no pose is supported by `min_inliers` cells; `reason` then says why.

    `inliers` (N,): cells that agree with the refined pose; `score`: the soft inlier score of the chosen
    hypothesis; `entropy`: of the hypotheses' probabilities, in bits (0: one of them has it all); `draws`: minimal
    sets tried; `candidates`: all hypotheses as scored, with their `probabilities` (H,).
    """

    map_from_camera: Rigid | None
    reason: str
    inliers: Mask
    score: float
    entropy: float
    draws: int
    candidates: Rigid
    probabilities: Array


def estimate_scene_pose(
    points: Array, targets: Targets, options: SceneRansacOptions | None = None
) -> ScenePose:
    """The pose that agrees with most scene coordinates `points` (N, 3), in metres; cell i was seen as target i.

    Leave out cells without a prediction. Raises ConfigurationError when the two differ in number or a
    coordinate is not finite.
    """
    options = options or SceneRansacOptions()
    points = np.asarray(points, float)
    if points.shape != (len(targets), 3) or not np.isfinite(points).all():
        raise ConfigurationError(
            f"expected finite points ({len(targets)}, 3), one for each target, got {points.shape}"
        )
    drawn = draw(points, targets, options)
    if not len(drawn):
        nothing = np.zeros(len(points), np.bool_)
        poses = drawn.map_from_camera
        return ScenePose(None, f"no hypothesis in {drawn.draws} draws", nothing, 0, 0, drawn.draws, poses, np.zeros(0))
    scores = np.array([soft_inliers(cell_errors(p, points, targets, options), options) for p in poses_of(drawn)])
    probabilities = softmax(scores)
    best = int(np.argmax(scores))
    pose, inliers = refine_inliers(drawn.map_from_camera[best], points, targets, options)
    count = int(inliers.sum())
    enough = count >= options.min_inliers
    reason = "" if enough else f"only {count} of {len(points)} cells agree, {options.min_inliers} are needed"
    return ScenePose(
        map_from_camera=pose if enough or options.compat else None,
        reason=reason,
        inliers=inliers,
        score=float(scores[best]),
        entropy=entropy_bits(probabilities),
        draws=drawn.draws,
        candidates=drawn.map_from_camera,
        probabilities=probabilities,
    )


def draw(points: Array, targets: Targets, options: SceneRansacOptions) -> Hypotheses:
    """Hypotheses for `estimate_scene_pose`, and for training through it."""
    if options.compat:
        return draw_published(points, targets, options.threshold, options.hypotheses, options.max_draws, options.seed)
    return draw_hypotheses(points, targets, options.threshold, options.hypotheses, options.max_draws, options.seed)
