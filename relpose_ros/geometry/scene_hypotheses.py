"""Pose hypotheses from minimal sets of scene coordinates: bounded, batched, and the same for a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions, squared_cell_errors
from relpose_ros.geometry.scene_targets import Targets

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

CHUNK = 256
"""Minimal sets at once."""

SCREENED = 128
"""Cells on which every hypothesis is looked at before the best ones meet all of them."""

GOOD_SETS = 8
"""Drawing ends when so many sets without an outlier are to be expected: all miss with exp(-8) = 0.03 %."""


@dataclass(frozen=True)
class Hypotheses:
    """`map_from_camera` batched (H), the cells `sets` (H, 3) that made each, and the sets tried for them."""

    map_from_camera: Rigid
    sets: Indices
    draws: int

    def __len__(self) -> int:
        return len(self.sets)


def draw_hypotheses(points: Array, targets: Targets, options: SceneRansacOptions) -> Hypotheses:
    """The `options.hypotheses` best of all poses of up to `options.max_draws` minimal sets, best first.

    `points` (N, 3). They are ranked on a random subset of the cells by a truncated quadratic (MSAC: Torr and
    Zisserman, CVIU 2000). Fewer sets are drawn where the best share of inliers says that they suffice.
    """
    generator = np.random.default_rng(options.seed)
    looked_at = generator.permutation(len(points))[:SCREENED]
    subset, seen = points[looked_at], targets[looked_at]
    kept = Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3)))
    sets, support = np.zeros((0, 3), np.int64), np.zeros(0)
    draws, needed, inlying = 0, options.max_draws, 0.0
    while draws < needed:
        fresh = generator.integers(0, len(points), (min(CHUNK, needed - draws), 3))
        draws += len(fresh)
        poses, which = targets.minimal_poses(points, fresh)
        if not len(which):
            continue
        worth = squared_cell_errors(poses, subset, seen, options.cheirality)
        worth *= -1 / options.threshold**2
        worth = np.maximum(worth + 1, 0)
        inlying = max(inlying, float(np.count_nonzero(worth, axis=1).max()) / len(looked_at))
        needed = min(options.max_draws, math.ceil(GOOD_SETS / max(inlying, 1e-3) ** 3))
        support = np.concatenate([support, worth.sum(axis=1)])
        best = np.argsort(-support, kind="stable")[: options.hypotheses]
        kept = joined(kept, poses)[best]
        sets, support = np.concatenate([sets, fresh[which]])[best], support[best]
    return Hypotheses(kept, sets, draws)


def joined(first: Rigid, second: Rigid) -> Rigid:
    """Two batched poses (M,) and (K,) as one (M + K,)."""
    rotation = np.concatenate([first.rotation, second.rotation])
    return Rigid(rotation, np.concatenate([first.translation, second.translation]))
