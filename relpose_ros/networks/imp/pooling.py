"""EIMP's adaptive pooling: which keypoints are still worth the attention (specs/imp.md section 6)."""

from __future__ import annotations

import torch
from torch import Tensor

from relpose_ros.networks.imp.state import Attention, ReceivedAttention


def received_attention(attention: Attention) -> ReceivedAttention:
    """Attention that each keypoint gets, from probabilities (B, 4, queries, keys).

    The original divides by the total; comparing with the median does not need it.
    """
    given = (attention.self0, attention.cross1, attention.self1, attention.cross0)
    # One axis at a time: ONNX Runtime takes ten times as long for both at once.
    return ReceivedAttention(*(p.detach().float().sum(dim=2).sum(dim=1) for p in given))


def masked_lower_median(values: Tensor, mask: Tensor) -> Tensor:
    """The lower median (B, 1) of `values` (B, N) where `mask` (B, N); infinity where it is empty."""
    if values.shape[1] == 0:
        return values.new_full((values.shape[0], 1), torch.inf)
    ordered = values.masked_fill(~mask, torch.inf).sort(dim=1).values
    middle = (mask.sum(dim=1, keepdim=True) - 1).clamp(min=0) // 2
    return ordered.gather(1, middle)


def informative_points(mass: Tensor, own: Tensor, other: Tensor, keep: Tensor, threshold: float) -> Tensor:
    """Which points (B, N) to keep of those in `keep`, from what they received; all if none is a seed.

    mass   total assignment (B, N) of each point to real points of the other image; a seed has `threshold`
    own    attention received from the image's own points; other: from those of the other image
    A point stays that is a seed or gets at least as much attention of a kind as the median seed.
    """
    seeds = keep & (mass >= threshold)
    chosen = seeds
    for attention in (own, other):
        chosen = chosen | (keep & (attention >= masked_lower_median(attention, seeds)))
    # Not torch.where: ONNX Runtime has none for booleans.
    return chosen | (keep & ~seeds.any(dim=1, keepdim=True))


def pooled(
    assignment: Tensor,
    received: ReceivedAttention,
    keep0: Tensor,
    keep1: Tensor,
    threshold: float,
    minimum: int,
) -> tuple[Tensor, Tensor]:
    """The points of both images to keep, (B, N0) and (B, N1), by assignment (B, N0+1, N1+1).

    An image of at most `minimum` kept points keeps them all. No gradient flows through the choice.
    """
    core = assignment.detach()[:, :-1, :-1]
    chosen0 = informative_points(core.sum(dim=2), received.own0, received.other0, keep0, threshold)
    chosen1 = informative_points(core.sum(dim=1), received.own1, received.other1, keep1, threshold)
    few0, few1 = (keep.sum(dim=1, keepdim=True) <= minimum for keep in (keep0, keep1))
    return chosen0 | (keep0 & few0), chosen1 | (keep1 & few1)
