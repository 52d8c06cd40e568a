"""What the robust estimator compares the maps of a batch with: rays of their cells, or measured points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_targets import PointTargets, RayTargets

Array = NDArray[np.float64]
Batch = Mapping[str, Tensor]


def ray_targets(batch: Batch) -> list[RayTargets]:
    """Rays of all cells of each image, row by row; NaN where a cell is padding or has no ray."""
    rays, focal = _rays(batch)
    return [RayTargets(r, float(f)) for r, f in zip(rays, focal, strict=True)]


def point_targets(batch: Batch) -> list[PointTargets]:
    """Points in camera axes that a depth camera measured in the cells of each image, NaN where it did not."""
    rays, _ = _rays(batch)
    depth = as_array(batch["depth"]).reshape(len(rays), -1, 1)
    depth = np.where(depth > 0, depth, np.nan)
    return [PointTargets(p) for p in np.concatenate([rays * depth, depth], axis=2)]


def true_poses(batch: Batch) -> Rigid:
    """`map_from_camera` of each image, batched (B), minus the set's origin."""
    return Rigid.from_matrix(as_array(batch["pose"]))


def as_array(tensor: Tensor) -> Array:
    """A tensor's values on the host, in double precision."""
    return np.asarray(tensor.detach().cpu().double().numpy())


def _rays(batch: Batch) -> tuple[Array, Array]:
    """Rays (B, N, 2) on z = 1, and the mean focal lengths (B,) in pixels."""
    matrix, pixels = as_array(batch["matrix"]), as_array(batch["pixels"])
    inside = batch["inside"].cpu().numpy().reshape(len(matrix), -1, 1)
    focal = matrix[:, [0, 1], [0, 1]]
    flat = pixels.reshape(len(matrix), 2, -1).transpose(0, 2, 1)
    rays = (flat - matrix[:, None, :2, 2]) / focal[:, None]
    return np.where(inside, rays, np.nan), focal.mean(axis=1)
