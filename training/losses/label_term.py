"""What the coordinate, depth and normal losses of TransPose and CrossLoc share: the part with the label."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_training.losses.reprojection import TINY
from relpose_training.losses.uncertainty import factored_nll, gaussian_nll

VARIANTS = ("transpose", "crossloc")


def require_variant(variant: str) -> None:
    """Raise ConfigurationError unless `variant` is one there is."""
    if variant not in VARIANTS:
        raise ConfigurationError(f"unknown variant {variant!r} of the loss; expected one of {VARIANTS}")


def label_term(
    squared_error: Tensor, cells: Tensor, scale: Tensor | None, dimension: int, compat: bool = False
) -> Tensor:
    """Per cell (B, h, w): with `scale` (B, 1, h, w) the likelihood, else the error; 0 outside `cells`."""
    # Chosen before root and logarithm: a cell without a label must not bring a NaN into the gradient.
    squared = torch.where(cells, squared_error, torch.ones_like(squared_error))
    if scale is None:
        term = squared.clamp(min=TINY**2).sqrt()
    else:
        term = gaussian_nll(squared, scale[:, 0], dimension, compat)
    return torch.where(cells, term, torch.zeros_like(term))


def factor_term(error: Tensor, cells: Tensor, factor: Tensor) -> Tensor:
    """Per cell (B, h, w): the likelihood of errors (B, 3, h, w) with the factor (B, 6, h, w) of their
    covariance; 0 outside `cells`."""
    term = factored_nll(torch.where(cells[:, None], error, torch.zeros_like(error)), factor)
    return torch.where(cells, term, torch.zeros_like(term))


def root_floor(variant: str, soft: float) -> float:
    """What the originals add to each cell below the soft clamp, for the sake of the root's derivative."""
    return math.sqrt(TINY) if variant == "transpose" else TINY + math.sqrt((soft + 1) * TINY)
