"""From similarities to a soft assignment with a dustbin for keypoints that have no partner.

Everything here is float32 or better whatever the caller's autocast says: a marginal of 1000 points does
not survive bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.networks.imp.layers import full_precision

MASKED = -1e9
"""Stands for minus infinity: its exponential is 0, but no difference of two of them is NaN."""


def add_dustbins(similarity: Tensor, bin_score: Tensor) -> Tensor:
    """(B, N0, N1) to (B, N0+1, N1+1): the last row and column hold `bin_score` ()."""
    b, m, n = similarity.shape
    column = bin_score.to(similarity.dtype).expand(b, m, 1)
    row = bin_score.to(similarity.dtype).expand(b, 1, n + 1)
    return torch.cat([torch.cat([similarity, column], dim=2), row], dim=1)


def _kept(keep: Tensor | None, like: Tensor, points: int) -> Tensor:
    """(B, points+1): 1 where a point is kept, and for the dustbin."""
    if keep is None:
        return like.new_ones(like.shape[0], points + 1)
    return functional.pad(keep, (0, 1), value=True).to(like.dtype)


def _marginal(kept: Tensor) -> Tensor:
    """Each kept point has mass 1, the dustbin (last) has room for all points and one more."""
    return torch.cat([kept[:, :-1], kept.sum(dim=1, keepdim=True)], dim=1)


def sinkhorn(
    similarity: Tensor,
    bin_score: Tensor,
    iterations: int,
    keep0: Tensor | None = None,
    keep1: Tensor | None = None,
) -> Tensor:
    """Assignment (B, N0+1, N1+1) by Sinkhorn scaling in probability space (specs/imp.md section 4; SGMNet).

    similarity (B, N0, N1); points where `keep0` (B, N0) or `keep1` (B, N1) is false take no part and get
    zeros, so the others come out as if alone. The dustbins' masses are N0+1 and N1+1: both totals agree
    only if N0 = N1, hence the columns' marginals, scaled last, are exact, and the rows' nearly so.
    """
    with torch.autocast(similarity.device.type, enabled=False):
        logits = add_dustbins(full_precision(similarity), full_precision(bin_score))
        rows = _kept(keep0, logits, similarity.shape[1])
        columns = _kept(keep1, logits, similarity.shape[2])
        if keep1 is not None:
            logits = logits.masked_fill(columns[:, None] == 0, MASKED)
        p = logits.softmax(dim=-1)
        if keep0 is not None:
            p = p * rows[:, :, None]
        mass0, mass1 = _marginal(rows)[:, :, None], _marginal(columns)[:, None, :]
        u, v = torch.ones_like(mass0), torch.ones_like(mass1)
        for _ in range(iterations):
            u = mass0 / (p @ v.transpose(1, 2) + 1e-8)
            v = mass1 / (u.transpose(1, 2) @ p + 1e-8)
        return u * p * v


def dual_softmax(
    similarity: Tensor, bin_score: Tensor, keep0: Tensor | None = None, keep1: Tensor | None = None
) -> Tensor:
    """Assignment (B, N0+1, N1+1): softmax over rows times softmax over columns. Arguments as `sinkhorn`."""
    with torch.autocast(similarity.device.type, enabled=False):
        logits = add_dustbins(full_precision(similarity), full_precision(bin_score))
        if keep0 is None and keep1 is None:
            return (logits.log_softmax(dim=1) + logits.log_softmax(dim=2)).exp()
        rows = _kept(keep0, logits, similarity.shape[1])
        columns = _kept(keep1, logits, similarity.shape[2])
        both = rows[:, :, None] * columns[:, None, :]
        logits = logits.masked_fill(both == 0, MASKED)
        return (logits.log_softmax(dim=1) + logits.log_softmax(dim=2)).exp() * both
