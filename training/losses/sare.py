"""Stochastic attraction-repulsion embedding (SARE), over Euclidean distances or dot products.

Liu, Li, Dai: Stochastic Attraction-Repulsion Embedding for Large Scale Image Localization, ICCV 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sare_joint_loss(
    anchor: Tensor,
    positive: Tensor,
    negatives: Tensor,
    temperature: float | None = None,
    usable: Tensor | None = None,
) -> Tensor:
    """Mean over tuples of -log(exp s_p / (exp s_p + sum_j exp s_j)), a scalar: all negatives at once.

    `anchor` and `positive` (B, D), `negatives` (B, N, D), of norm 1. The similarity s is minus the squared
    Euclidean distance (the paper's Gaussian kernel), or, with a `temperature`, the dot product divided by
    it (SFRS). For descriptors of norm 1 the first equals the second with temperature 0.5. `usable` (B, N)
    bool: which negatives count; unset: all.
    """
    s = similarities(anchor, torch.cat([positive[:, None], negatives], dim=1), temperature)
    if usable is not None:
        s = torch.cat([s[:, :1], s[:, 1:].masked_fill(~usable, -torch.inf)], dim=1)
    return -functional.log_softmax(s, dim=1)[:, 0].mean()


def sare_ind_loss(
    anchor: Tensor,
    positive: Tensor,
    negatives: Tensor,
    temperature: float | None = None,
    usable: Tensor | None = None,
) -> Tensor:
    """Mean over tuples and negatives of log(1 + exp(s_j - s_p)), a scalar: each negative by itself.

    Arguments and similarity s as for `sare_joint_loss`.
    """
    s = similarities(anchor, torch.cat([positive[:, None], negatives], dim=1), temperature)
    each = functional.softplus(s[:, 1:] - s[:, :1])
    return each.mean() if usable is None else (each * usable).sum() / usable.sum()


def similarities(anchor: Tensor, others: Tensor, temperature: float | None) -> Tensor:
    """Similarities (B, M) of anchors (B, D) to their others (B, M, D)."""
    if temperature is None:
        return -(anchor[:, None] - others).square().sum(dim=2)
    # Not a matrix product: autocast would make that one bfloat16, too coarse to divide by 0.07.
    return (anchor[:, None] * others).sum(dim=2) / temperature
