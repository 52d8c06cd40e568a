"""The pose of several cameras that are fixed to one base, from what all of them see (generalized PnP).

A rig's pose is `map_from_base`; `base_from_camera` (C,) are its mounts, batched. The pose is found as if they
were exact; what they are off by is in its covariance (`mount_covariance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import (
    clustered_covariance,
    image_blocks,
    lever_adjoint,
    normal_matrix,
    safe_inverse,
)
from relpose_ros.geometry.refinement import Correspondences, Linearization, linearize, minimise, project
from relpose_ros.geometry.rigid import Rigid, skew
from relpose_ros.geometry.robust import RansacOptions, RobustPose, absolute_pose, generalized_pose

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RigView:
    """What C cameras of a rig see: one `Correspondences` each, empty for a camera that sees nothing."""

    cameras: tuple[Correspondences, ...]
    base_from_camera: Rigid

    def __getitem__(self, chosen: Sequence[NDArray[np.integer] | Mask]) -> RigView:
        """Some of each camera's correspondences."""
        kept = tuple(seen[index] for seen, index in zip(self.cameras, chosen, strict=True))
        return replace(self, cameras=kept)

    def __len__(self) -> int:
        """Correspondences of all cameras together."""
        return sum(len(seen) for seen in self.cameras)

    def split(self, rows: Mask) -> list[Mask]:
        """What was told of all correspondences (N,), camera by camera."""
        return np.split(rows, np.cumsum([len(seen) for seen in self.cameras])[:-1])

    @property
    def blocks(self) -> NDArray[np.int64]:
        """Block index of each correspondence: `image_blocks`, and no block reaches over two images."""
        blocks = [image_blocks(seen.rays) if len(seen) else np.zeros(0, np.int64) for seen in self.cameras]
        firsts = np.cumsum([0, *(int(b.max(initial=-1)) + 1 for b in blocks[:-1])])
        return np.concatenate([b + first for b, first in zip(blocks, firsts, strict=True)])


@dataclass(frozen=True, eq=False)
class Mounts:
    """Where C cameras are fixed to a base (C,), and standard deviations of that, `sigma` (C, 2).

    Of each camera: of its position, on each axis (m), and of its rotation, about each axis (rad). Errors of
    different cameras are independent. The camera that says where the base is has 0.
    """

    base_from_camera: Rigid
    sigma: Array

    def __getitem__(self, cameras: Sequence[int]) -> Mounts:
        """Those of some cameras."""
        chosen = list(cameras)
        return Mounts(self.base_from_camera[chosen], self.sigma[chosen])

    def covariance(self, camera: int) -> Array:
        """Of one camera's pose in the base (6, 6), the same in all axes: in those of the map, too."""
        return np.diag(np.repeat(self.sigma[camera] ** 2, 3))


@dataclass(frozen=True)
class RigConsensus:
    """A rig's robust pose, and which of each camera's correspondences agree with it (N_c,) bool.

    `alone`: the pose (`map_from_camera`) that each camera finds by itself, None where it finds none.
    """

    map_from_base: Rigid
    inliers: tuple[Mask, ...]
    alone: tuple[RobustPose | None, ...]

    @property
    def support(self) -> int:
        """Inliers of all cameras."""
        return sum(int(inlier.sum()) for inlier in self.inliers)


def rig_consensus(seen: RigView, options: RansacOptions) -> RigConsensus | None:
    """The pose that most correspondences of all cameras agree with, or None if there is none.

    Tried are the generalized solver, which needs no camera to see enough by itself, and the pose that each
    camera finds alone: so a camera whose matches are all wrong cannot hide what another one finds.
    """
    alone = [absolute_pose(one.rays, one.points, one.focal, options) for one in seen.cameras]
    seeing = sum(len(one) > 0 for one in seen.cameras)
    tried = [
        found.pose @ mount.inverse()
        for found, mount in zip(alone, _mounts(seen), strict=True)
        if found is not None
    ]
    if seeing > 1:
        rays, points, focals = zip(*((one.rays, one.points, one.focal) for one in seen.cameras), strict=True)
        together = generalized_pose(rays, points, focals, seen.base_from_camera, options)
        tried = [together, *tried] if together is not None else tried
    if not tried:
        return None
    inliers = [rig_inliers(pose, seen, options.max_error_px) for pose in tried]
    best = int(np.argmax([sum(int(i.sum()) for i in each) for each in inliers]))
    return RigConsensus(tried[best], inliers[best], tuple(alone))


def rig_inliers(map_from_base: Rigid, seen: RigView, max_error_px: float) -> tuple[Mask, ...]:
    """Which correspondences (N_c,) of each camera a pose reprojects to within so many of its pixels."""
    found = []
    for one, mount in zip(seen.cameras, _mounts(seen), strict=True):
        rays, _ = project(map_from_base @ mount, one.points)
        with np.errstate(invalid="ignore"):
            found.append(np.hypot(*((rays - one.rays) * one.focal).T) < max_error_px)
    return tuple(found)


def linearize_rig(map_from_base: Rigid, seen: RigView) -> Linearization:
    """As `linearize`, of all cameras: rows camera by camera, by the twist of the base.

    A camera whose centre is p (map axes) from the base moves by dt + dtheta x p, so its rows are multiplied
    with [[I, -[p]x], [0, I]].
    """
    lines = []
    for one, mount in zip(seen.cameras, _mounts(seen), strict=True):
        line = linearize(map_from_base @ mount, one)
        lever = skew(map_from_base.rotation @ mount.translation)
        by_turn = line.jacobian[:, :, 3:] - line.jacobian[:, :, :3] @ lever
        lines.append((np.concatenate([line.jacobian[:, :, :3], by_turn], axis=2), line.residual))
    jacobians, residuals = zip(*lines, strict=True)
    return Linearization(np.concatenate(jacobians), np.concatenate(residuals))


def refine_rig_pose(map_from_base: Rigid, seen: RigView) -> tuple[Rigid, Linearization, Array]:
    """`refine_pose` over all cameras: the pose, the linearization there and the robust weights (N,)."""
    return minimise(map_from_base, lambda pose: linearize_rig(pose, seen))


def rig_covariance(line: Linearization, seen: RigView, weight: Array) -> Array:
    """Covariance (6, 6) of `map_from_base`, inflated as far as errors are clustered in the images."""
    return clustered_covariance(line, seen.blocks, weight)


def mount_gains(line: Linearization, seen: RigView, weight: Array, map_from_base: Rigid) -> Array:
    """By how much errors of the mounts put a refined pose off, (C, 6, 6): twist of the base by a camera's.

    At the pose the weighted residuals are a minimum: sum_c A_c^T J_c^T W_c r_c = 0, with the rows J_c by the
    twist of camera c itself and A_c = [[I, -[p_c]x], [0, I]], which turns the twist of the base into that of
    the camera (`lever_adjoint`; p_c its lever in map axes). A mount that puts its camera off by u_c (map
    axes) changes r_c by J_c u_c, and the minimum moves by dx with

        sum_c A_c^T J_c^T W_c J_c (A_c dx + u_c) = 0, so dx = -N^-1 sum_c A_c^T J_c^T W_c J_c u_c,

    N = sum_c A_c^T J_c^T W_c J_c A_c: implicit function theorem, weights held (Haralick 1994, Propagating
    covariance in computer vision). By the rows of `linearize_rig`, which are J_c A_c, with N_c of camera c
    alone: dx = -sum_c G_c u_c, G_c = N^-1 N_c A_c^-1, and sum_c G_c A_c = 1.
    """
    ends = np.cumsum([len(one) for one in seen.cameras])
    parts = [slice(end - len(one), end) for one, end in zip(seen.cameras, ends, strict=True)]
    normals = [normal_matrix(Linearization(line.jacobian[p], line.residual[p]), weight[p]) for p in parts]
    bread = safe_inverse(np.sum(normals, axis=0))
    levers = [map_from_base.rotation @ mount.translation for mount in _mounts(seen)]
    return np.array([bread @ own @ lever_adjoint(-lever) for own, lever in zip(normals, levers, strict=True)])


def mount_covariance(
    line: Linearization, seen: RigView, weight: Array, map_from_base: Rigid, mounts: Mounts
) -> Array:
    """What errors of the mounts add to the covariance (6, 6) of `map_from_base`, to first order.

    sum_c G_c S_c G_c^T with the gains of `mount_gains` and the covariance S_c of each mount. `line` and
    `weight` are those of the fit.
    """
    gains = mount_gains(line, seen, weight, map_from_base)
    return np.asarray(sum(gain @ mounts.covariance(c) @ gain.T for c, gain in enumerate(gains)))


def _mounts(seen: RigView) -> list[Rigid]:
    return [seen.base_from_camera[camera] for camera in range(len(seen.cameras))]
