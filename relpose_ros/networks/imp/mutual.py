"""From a soft assignment to matches: pairs that are each other's best and good enough."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Matches(NamedTuple):
    """Matches of two images, seen from each. An index is -1 where a keypoint has no partner.

    A score is the assignment's value of a mutual best pair, below the threshold too; else 0.
    """

    indices0: Tensor  # (B, N0) int64, into image 1
    indices1: Tensor  # (B, N1) int64, into image 0
    scores0: Tensor  # (B, N0)
    scores1: Tensor  # (B, N1)


def _none(core: Tensor, points: int) -> tuple[Tensor, Tensor]:
    shape = (core.shape[0], points)
    return torch.full(shape, -1, dtype=torch.int64, device=core.device), core.new_zeros(shape)


def mutual_matches(assignment: Tensor, threshold: float) -> Matches:
    """Pairs of assignment (B, N0+1, N1+1), dustbins apart, that are mutual maxima above `threshold`."""
    core = assignment[:, :-1, :-1]
    if core.shape[1] == 0 or core.shape[2] == 0:
        (indices0, scores0), (indices1, scores1) = _none(core, core.shape[1]), _none(core, core.shape[2])
        return Matches(indices0, indices1, scores0, scores1)
    best0, partner0 = core.max(dim=2)
    partner1 = core.argmax(dim=1)
    ids0 = torch.arange(core.shape[1], device=core.device)
    ids1 = torch.arange(core.shape[2], device=core.device)
    mutual0 = partner1.gather(1, partner0) == ids0
    mutual1 = partner0.gather(1, partner1) == ids1
    scores0 = torch.where(mutual0, best0, torch.zeros_like(best0))
    scores1 = torch.where(mutual1, scores0.gather(1, partner1), torch.zeros_like(scores0[:, :1]))
    good0 = mutual0 & (scores0 > threshold)
    good1 = mutual1 & good0.gather(1, partner1)
    unmatched = partner0.new_full((), -1)
    return Matches(
        torch.where(good0, partner0, unmatched), torch.where(good1, partner1, unmatched), scores0, scores1
    )
