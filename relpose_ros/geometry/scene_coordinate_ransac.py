"""The pose of a camera from dense scene coordinates.

Brachmann and Rother, "Visual Camera Re-Localization from RGB and RGB-D Images Using DSAC", TPAMI 2021. All
hypotheses are computed at once, the number of minimal sets is bounded, a seed gives the same answer, and
coordinates that agree with no pose are a failure with a reason, not a pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import (
    SceneRansacOptions,
    cell_errors,
    entropy_bits,
    refine_on_inliers,
    soft_inliers,
    softmax,
)
from relpose_ros.geometry.scene_hypotheses import Hypotheses, draw_hypotheses
from relpose_ros.geometry.scene_targets import Targets

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ScenePose:
    """`map_from_camera` is None where too few cells agree with the best pose; `reason` then says how many.

    `inliers` (N,): cells that agree with the refined pose; `hypotheses` as drawn, with their `probabilities`
    (H,); `entropy` of these, in bits (0: one hypothesis has it all).
    """

    map_from_camera: Rigid | None
    reason: str
    inliers: Mask
    hypotheses: Hypotheses
    probabilities: Array
    entropy: float


def estimate_scene_pose(
    points: Array,
    targets: Targets,
    options: SceneRansacOptions | None = None,
    hypotheses: Hypotheses | None = None,
) -> ScenePose:
    """The pose that most scene coordinates agree with: `points` (N, 3), metres, of the cells in `targets`.

    Leave out cells without a prediction. `hypotheses` to choose from are drawn if not given. Raises
    ConfigurationError when points and targets differ in number or a coordinate is not finite.
    """
    options = options or SceneRansacOptions()
    points = np.asarray(points, float)
    if points.shape != (len(targets), 3) or not np.isfinite(points).all():
        raise ConfigurationError(
            f"expected finite points ({len(targets)}, 3), one for each target, got {points.shape}"
        )
    drawn = draw_hypotheses(points, targets, options) if hypotheses is None else hypotheses
    if not len(drawn):
        reason = f"no minimal set of {drawn.draws} gives a pose"
        return ScenePose(None, reason, np.zeros(len(points), np.bool_), drawn, np.zeros(0), 0.0)
    scores = soft_inliers(cell_errors(drawn.map_from_camera, points, targets, options), options)
    pose, _ = refine_on_inliers(drawn.map_from_camera[int(np.argmax(scores))], points, targets, options)
    inliers = cell_errors(pose[None], points, targets, options)[0] < options.threshold
    needed = options.needed(len(points))
    found = int(inliers.sum()) >= needed
    reason = f"{inliers.sum()} of {len(points)} cells agree, {needed} are needed"
    chances = softmax(scores)
    return ScenePose(
        pose if found else None, "" if found else reason, inliers, drawn, chances, entropy_bits(chances)
    )
