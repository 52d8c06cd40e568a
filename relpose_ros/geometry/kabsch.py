"""Rigid alignment of corresponding points in the least-squares sense."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


def align_points(source: Array, target: Array) -> Rigid:
    """`target_from_source` (...) that minimises the squared distances of points (..., N, 3) to (..., N, 3).

    Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976, with Umeyama's sign
    correction (1991), so that it is never a reflection. With collinear points the rotation about their line
    is arbitrary. Raises ValueError for fewer than three points or shapes that differ.
    """
    if source.shape != target.shape or source.shape[-1] != 3 or source.shape[-2] < 3:
        raise ValueError(f"expected two (..., N >= 3, 3), got {source.shape} and {target.shape}")
    source_centre, target_centre = source.mean(axis=-2), target.mean(axis=-2)
    offsets = target - target_centre[..., None, :]
    u, _, vt = np.linalg.svd(np.swapaxes(offsets, -1, -2) @ (source - source_centre[..., None, :]))
    handed = np.ones((*u.shape[:-2], 3))
    handed[..., 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * handed[..., None, :]) @ vt
    return Rigid(rotation, target_centre - (rotation @ source_centre[..., None])[..., 0])
