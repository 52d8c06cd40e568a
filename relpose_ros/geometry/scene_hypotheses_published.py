"""Minimal sets and hypotheses as the published DSAC* code draws them with one thread: for comparison with it.

Differences from `scene_hypotheses`: its random numbers; one set after the other until it has its number of
hypotheses; a set counts only if all of its own cells agree with the pose (a fourth cell picks the P3P
solution), in front of the camera or not; a cell may be drawn twice. Where its search of 10^6 sets a
hypothesis ends without one, it goes on with the last bad pose; here the hypotheses are then fewer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.libstdcpp_random import UniformIntegers
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_hypotheses import Hypotheses, joined
from relpose_ros.geometry.scene_targets import PointTargets, RayTargets

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

FIRST_SEED = 1305
"""Of the published code's first thread."""


def draw_published_rgb(
    points: Array, targets: RayTargets, shape: tuple[int, int], options: SceneRansacOptions
) -> Hypotheses:
    """Of a whole map `shape` (height, width), `points` (height * width, 3) row by row; `sets` (H, 4)."""
    height, width = shape
    numbers = UniformIntegers(options.seed)

    def some(count: int) -> Indices:
        drawn = numbers.draw(np.tile([width, height], 4 * count)).reshape(count, 4, 2)
        return np.asarray(drawn[..., 1] * width + drawn[..., 0])

    kept = Hypotheses(Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3))), np.zeros((0, 4), np.int64), 0)
    while len(kept) < options.hypotheses and kept.draws < options.max_draws:
        kept = _accepted(points, targets, some(256), kept, options)
    return kept


def draw_published_rgbd(
    points: Array, targets: PointTargets, shape: tuple[int, int], options: SceneRansacOptions
) -> Hypotheses:
    """Of those cells of a whole map, column by column, whose measured x is there; `sets` (H, 3)."""
    by_column = np.arange(len(points)).reshape(shape).T.ravel()
    candidates = by_column[np.isfinite(targets.points[by_column, 0])]
    numbers = UniformIntegers(options.seed)
    kept = Hypotheses(Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3))), np.zeros((0, 3), np.int64), 0)
    while len(kept) < options.hypotheses and kept.draws < options.max_draws:
        drawn = numbers.draw(np.full(3 * 256, len(candidates))).reshape(-1, 3)
        kept = _accepted(points, targets, candidates[drawn], kept, options)
    return kept


def _accepted(
    points: Array,
    targets: RayTargets | PointTargets,
    sets: Indices,
    kept: Hypotheses,
    options: SceneRansacOptions,
) -> Hypotheses:
    """`kept` and what `sets` (S, 3 or 4) add to it, in their order."""
    poses, which = targets.minimal_poses(points, sets[:, :3])
    own = sets[which]
    local = np.einsum("mij,mni->mnj", poses.rotation, points[own] - poses.translation[:, None])
    errors = np.linalg.norm(targets[own].residuals(local), axis=2)
    order = np.lexsort((errors[:, -1], which))  # of each set's solutions the one that fits the last cell best
    best = order[np.unique(which[order], return_index=True)[1]]
    good = best[(errors[best] < options.threshold).all(axis=1)][: options.hypotheses - len(kept)]
    used = np.concatenate([kept.sets, own[good]])
    return Hypotheses(joined(kept.map_from_camera, poses[good]), used, kept.draws + len(sets))
