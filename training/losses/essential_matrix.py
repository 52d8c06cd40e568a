"""How far an estimated essential matrix is from the truth: by epipolar distances, or entry by entry."""

from __future__ import annotations

import torch
from torch import Tensor

from relpose_ros.networks.one_to_one.epipolar import symmetric_epipolar_distance

MARGIN = 0.1


def essential_from_pose(rotation: Tensor, translation: Tensor) -> Tensor:
    """E = [t]x R (B, 3, 3), scaled to Frobenius norm 1, of second_from_first (B, 3, 3) and (B, 3).

    The scale is undefined for a zero translation: the result is then zero.
    """
    columns = [torch.linalg.cross(translation, rotation[..., i], dim=-1) for i in range(3)]
    essential = torch.stack(columns, dim=-1)
    norm = torch.linalg.matrix_norm(essential, keepdim=True)
    return essential / torch.where(norm > 0, norm, torch.ones_like(norm))


def geometric_loss(essential: Tensor, virtual_points: Tensor, margin: float = MARGIN) -> Tensor:
    """Scalar: mean of min(symmetric epipolar distance, `margin`) of exact correspondences.

    `essential` (B, 3, 3), of any scale and sign; `virtual_points` (B, V, 4): x1, y1, x2, y2 on the plane
    z = 1 that fulfil the true constraint (Zhang et al., ICCV 2019, eq. 9; Ranftl and Koltun, ECCV 2018).
    """
    return symmetric_epipolar_distance(essential, virtual_points).clamp(max=margin).mean()


def essential_loss(essential: Tensor, truth: Tensor) -> Tensor:
    """Scalar: mean over pairs of min(|E - E_true|^2, |E + E_true|^2), both (B, 3, 3) of Frobenius norm 1.

    Yi et al., CVPR 2018, eq. 6: the sign of an essential matrix means nothing.
    """
    minus = (essential - truth).square().sum(dim=(-2, -1))
    plus = (essential + truth).square().sum(dim=(-2, -1))
    return torch.minimum(minus, plus).mean()
