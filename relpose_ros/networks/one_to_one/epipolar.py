"""Epipolar distances of tensors of correspondences. (relpose_ros/geometry has the NumPy functions.)"""

from __future__ import annotations

import torch
from torch import Tensor


def homogeneous(points: Tensor) -> Tensor:
    """Points (..., 2) with a 1 appended: (..., 3)."""
    return torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)


def symmetric_epipolar_distance(essential: Tensor, correspondences: Tensor) -> Tensor:
    """Squared symmetric epipolar distance (B, N) of x1, y1, x2, y2 (B, N, 4) on the plane z = 1.

    (x2' E x1)^2 (1 / |E x1|_xy^2 + 1 / |E' x2|_xy^2), of `essential` (B, 3, 3) with x2' E x1 = 0
    (Hartley and Zisserman 2004, eq. 11.10). Computed in float32 at least, also under autocast.
    """
    with torch.autocast(correspondences.device.type, enabled=False):
        dtype = torch.promote_types(correspondences.dtype, torch.float32)
        first, second = homogeneous(correspondences[..., :4].to(dtype).unflatten(-1, (2, 2))).unbind(dim=-2)
        essential = essential.to(dtype)
        line2, line1 = first @ essential.mT, second @ essential
        algebraic = (second * line2).sum(dim=-1)
        inverses = 1 / (_in_plane(line1) + 1e-15) + 1 / (_in_plane(line2) + 1e-15)
        return algebraic.square() * inverses


def _in_plane(lines: Tensor) -> Tensor:
    """a^2 + b^2 of lines (a, b, c)."""
    return lines[..., :2].square().sum(dim=-1)
