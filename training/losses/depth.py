"""The depth losses of TransPose and CrossLoc."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relpose_training.losses.label_term import label_term, require_variant, root_floor
from relpose_training.losses.reprojection import full_precision, root_above


@dataclass(frozen=True)
class DepthClamps:
    """When a cell's depth counts as valid, all in metres."""

    min_depth: float = 0.1
    soft: float = 5.0  # above which the error counts by its root ("transpose")
    hard: float = 10.0


DEFAULT_CLAMPS = DepthClamps()


@full_precision
def depth_loss(
    depth: Tensor,
    labels: Tensor,
    known: Tensor,
    scale: Tensor | None = None,
    clamps: DepthClamps = DEFAULT_CLAMPS,
    variant: str = "crossloc",
    compat: bool = False,
) -> tuple[Tensor, Tensor]:
    """Loss (B,) and share of valid cells (B,) of predicted depths (B, 1, h, w).

    e = |z - z_label|; a cell is valid if it has a label, z >= min_depth and e <= hard. "crossloc": the mean
    over cells of e, or with `scale` (B, 1, h, w) of the negative log-likelihood in 1 dimension, where there
    is a label. "transpose": min(e, sqrt(soft e)) where valid, plus e where not, or plus the likelihood.

    `labels` (B, 1, h, w), `known` (B, h, w). `compat`: TransPose's likelihood has dimension 3, and its
    constants are added.
    """
    require_variant(variant)
    error = (depth - labels).abs()[:, 0]
    valid = known & (depth[:, 0] >= clamps.min_depth) & (error <= clamps.hard)
    dimension = 3 if compat and variant == "transpose" else 1
    labelled = known & ~valid if scale is None and variant == "transpose" else known
    loss = label_term(error.square(), labelled, scale, dimension, compat)
    if variant == "transpose":
        error = torch.where(valid, error, torch.zeros_like(error))
        loss = loss + root_above(error, clamps.soft)
        if compat:
            loss = loss + root_floor(variant, clamps.soft) * (error <= clamps.soft)
    return loss.mean((1, 2)), valid.to(loss.dtype).mean((1, 2))
