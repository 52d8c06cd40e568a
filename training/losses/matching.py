"""How well soft assignments of two keypoint sets agree with the true matches (IMP's graph loss)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-8


class MatchingLoss(NamedTuple):
    """Scalars; `total` is the sum of the others."""

    total: Tensor
    matched: Tensor  # over true matches
    unmatched: Tensor  # over points without a partner
    hard_negative: Tensor  # 0 without a margin


class MatchingAccuracy(NamedTuple):
    """Points of image 0 per item, averaged over items and iterations: scalars."""

    matched: Tensor  # assigned to their true partner
    unmatched: Tensor  # rightly left without one
    all_matched: Tensor
    all_unmatched: Tensor


def kept_target(target: Tensor, keep0: Tensor, keep1: Tensor) -> Tensor:
    """The target (..., N0+1, N1+1) for the points kept, (..., N0) and (..., N1) bool.

    Dropped points have no entry; a kept point whose partner was dropped is now unmatched.
    """
    core = target[..., :-1, :-1]
    left = core * keep0.unsqueeze(-1) * keep1.unsqueeze(-2)
    column = torch.maximum(target[..., :-1, -1], core.amax(-1) - left.amax(-1)) * keep0
    row = torch.maximum(target[..., -1, :-1], core.amax(-2) - left.amax(-2)) * keep1
    left = torch.cat([left, column.unsqueeze(-1)], dim=-1)
    row = torch.cat([row, row.new_zeros(*row.shape[:-1], 1)], dim=-1)
    return torch.cat([left, row.unsqueeze(-2)], dim=-2)


def _mean_of_items(total: Tensor, count: Tensor) -> Tensor:
    """total / count of (B, L), averaged over the items with a count, then over the iterations."""
    has = count > 0
    share = torch.where(has, total / count.clamp(min=1), torch.zeros_like(total))
    return (share.sum(dim=0) / has.sum(dim=0).clamp(min=1)).mean()


def _unmatched(log: Tensor, target: Tensor, compat: bool) -> Tensor:
    """Minus the mean logarithm at the dustbins, mean of both images; arguments (B, L, N0+1, N1+1)."""
    column, row = target[..., :-1, -1], target[..., -1, :-1]
    first = _mean_of_items((log[..., :-1, -1] * column).sum(-1), column.sum(-1))
    second = _mean_of_items((log[..., -1, :-1] * row).sum(-1), row.sum(-1))
    if compat:
        second = second * (column.sum() > 0)
    return -(first + second) / 2


def _side(assignments: Tensor, target: Tensor, margin: float) -> Tensor:
    """Hinge of the labelled rows: best score at a true entry against best score elsewhere."""
    right = (assignments * target).amax(-1)
    wrong = (assignments * (1 - target)).amax(-1)
    labelled = target.amax(-1)
    hinge = torch.relu(margin - (right - wrong)) * labelled
    return (hinge.sum(-1) / labelled.sum(-1).clamp(min=1)).mean()


def matching_loss(
    assignments: Tensor,
    matching_mask: Tensor,
    keep0: Tensor | None = None,
    keep1: Tensor | None = None,
    hard_negative_margin: float | None = None,
    compat: bool = False,
) -> MatchingLoss:
    """Negative log-likelihood of the true assignment, all iterations alike (specs/imp.md section 5).

    assignments           (B, L, N0+1, N1+1) of L iterations, the dustbins last
    matching_mask         (B, N0+1, N1+1): 1 at true pairs, and at the dustbin of points without a partner;
                          a point without any 1 is ignored
    keep0, keep1          (B, L, N0), (B, L, N1) bool: points that take part (EIMP); default all
    hard_negative_margin  adds relu(margin - (best true score - best wrong score)), the original's is 0.1
    compat                as the original, no unmatched term at all if image 0 of no item has such a point

    An iteration in which nothing is matched, or kept, contributes 0 and no NaN.
    """
    target = matching_mask.unsqueeze(1)
    if keep0 is not None and keep1 is not None:
        target = kept_target(target, keep0, keep1)
    target = target.expand_as(assignments).to(assignments.dtype)
    log = (assignments + EPS).log()
    core = target[..., :-1, :-1]
    count = core.sum((-1, -2))
    matched = -((log[..., :-1, :-1] * core).sum((-1, -2)) / count.clamp(min=1)).mean()
    unmatched = _unmatched(log, target, compat)
    hard = torch.zeros_like(matched)
    if hard_negative_margin is not None:
        rows = _side(assignments[..., :-1, :], target[..., :-1, :], hard_negative_margin)
        columns = _side(assignments[..., :-1].mT, target[..., :-1].mT, hard_negative_margin)
        hard = (rows + columns) / 2
    return MatchingLoss(matched + unmatched + hard, matched, unmatched, hard)


def matching_accuracy(indices0: Tensor, matching_mask: Tensor) -> MatchingAccuracy:
    """Counts of right predictions `indices0` (B, L, N0), -1 for unmatched, against `matching_mask`."""
    has_partner = (matching_mask[:, :-1, :-1].amax(-1) > 0).unsqueeze(1)
    has_none = (matching_mask[:, :-1, -1] > 0).unsqueeze(1)
    partner = matching_mask[:, :-1, :-1].argmax(-1).unsqueeze(1)
    right = has_partner & (indices0 == partner)
    rightly_left = has_none & (indices0 < 0)
    return MatchingAccuracy(
        *(x.expand_as(indices0).sum(-1).float().mean() for x in (right, rightly_left, has_partner, has_none))
    )
