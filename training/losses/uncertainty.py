"""Negative log-likelihood of a prediction with a standard deviation, or with a covariance."""

from __future__ import annotations

import torch
from torch import Tensor

from relpose_training.losses.reprojection import TINY, full_precision

SCALE_FLOOR = TINY**0.5

FACTOR_ENTRIES = 6
"""Of the lower factor of a 3x3 covariance: l11, l21, l22, l31, l32, l33."""


@full_precision
def gaussian_nll(squared_error: Tensor, scale: Tensor, dimension: int, compat: bool = False) -> Tensor:
    """d ln s + e^2 / (2 s^2) for e^2 and s of one shape, each cell a vector of `dimension` d.

    The likelihood of an isotropic Gaussian, without its constant (Kendall and Gal, NeurIPS 2017). Its
    best s^2 is e^2 / d, so d must be that of the vector: 3 for coordinates, 2 for angles, 1 for depth;
    TransPose took 3 for all, and was over-confident by sqrt(3) in depth. s counts as 3e-4 at least;
    with `compat` the logarithm follows it down to 1e-7, where the error no longer does.
    """
    floored = scale.clamp(min=SCALE_FLOOR)
    logarithm = scale.clamp(min=TINY).log() if compat else floored.log()
    return dimension * logarithm + squared_error.clamp(min=TINY) / (2 * floored**2)


@full_precision
def factored_nll(error: Tensor, factor: Tensor) -> Tensor:
    """ln det L + |L^-1 e|^2 / 2 (B, ...) of errors (B, 3, ...) with covariance L L^T, a cell at a time.

    The likelihood of a Gaussian with a full covariance, without its constant (Dorta et al., CVPR 2018; with
    L = s I it is `gaussian_nll` in 3 dimensions). `factor` (B, 6, ...): l11, l21, l22, l31, l32, l33, the
    diagonal positive; an entry of it counts as 3e-4 at least. L^-1 e by forward substitution: no matrix is
    inverted, and nothing is made symmetric that was not.
    """
    l11, l21, l22, l31, l32, l33 = factor.unbind(1)
    first, second, third = (x.clamp(min=SCALE_FLOOR) for x in (l11, l22, l33))
    x, y, z = error.unbind(1)
    a = x / first
    b = (y - l21 * a) / second
    c = (z - l31 * a - l32 * b) / third
    logarithm = torch.log(first) + torch.log(second) + torch.log(third)
    return logarithm + (a.square() + b.square() + c.square()) / 2


def factor_matrix(factor: Tensor) -> Tensor:
    """Entries (B, 6, ...) of the lower factor -> matrices (B, ..., 3, 3)."""
    l11, l21, l22, l31, l32, l33 = factor.unbind(1)
    none = torch.zeros_like(l11)
    rows = [torch.stack(row, dim=-1) for row in ((l11, none, none), (l21, l22, none), (l31, l32, l33))]
    return torch.stack(rows, dim=-2)
