"""Do the matches agree with the true relative pose? IMP's second loss (the original's commit b010604)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relpose_ros.networks.one_to_one.eight_point import weighted_eight_point
from relpose_ros.networks.one_to_one.epipolar import symmetric_epipolar_distance

LARGEST = 5e-4
"""Squared epipolar distances, on the plane z = 1, are cut here: an outlier is an outlier."""

SCALE = 5e3
FEWEST_MATCHES = 8
"""What an essential matrix takes without using its inner constraints."""


class PoseConsistencyLoss(NamedTuple):
    """Scalars, means over the pairs with at least 8 predicted matches; each is between 0 and 2.5."""

    pose: Tensor  # true matches against the essential matrix that the predicted matches give
    geometry: Tensor  # predicted matches against the true essential matrix
    valid: Tensor  # how many pairs had enough matches


def _bounded_distance(essential: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Squared symmetric epipolar distances (B, N), cut and scaled to 0 ... 2.5."""
    distance = symmetric_epipolar_distance(essential, torch.cat([first, second], dim=-1))
    return distance.clamp(max=LARGEST) * SCALE


def _partners(rays: Tensor, indices: Tensor) -> Tensor:
    """`rays` (B, N1, 2) at `indices` (B, N0); index -1 gives any of them."""
    return rays.gather(1, indices.clamp(min=0).unsqueeze(-1).expand(-1, -1, 2))


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """(B,) of (B, N)."""
    total = weights.sum(dim=-1)
    return (values * weights).sum(dim=-1) / torch.where(total > 0, total, torch.ones_like(total))


def match_weights(indices0: Tensor, scores0: Tensor, scores1: Tensor) -> Tensor:
    """Mean of both scores of each match of image 0, (B, N0); 0 for unmatched points."""
    partner = scores1.gather(1, indices0.clamp(min=0))
    return torch.where(indices0 >= 0, (scores0 + partner) / 2, torch.zeros_like(scores0))


def pose_consistency_loss(
    indices0: Tensor,
    scores0: Tensor,
    scores1: Tensor,
    rays0: Tensor,
    rays1: Tensor,
    matching_mask: Tensor,
    essential: Tensor,
    compat: bool = False,
) -> PoseConsistencyLoss:
    """Epipolar errors of predicted and of true matches (specs/imp.md section 5), B pairs (or iterations).

    indices0          (B, N0) int64, predicted partners or -1; scores0 (B, N0), scores1 (B, N1) of `Matches`
    rays0, rays1      (B, N, 2) keypoints on the plane z = 1
    matching_mask     (B, N0+1, N1+1), 1 at true pairs
    essential         (B, 3, 3), x1' E x0 = 0; any scale
    compat            as the original: `geometry` is a plain mean, so that it has no gradient, and both
                      terms are NaN if no pair has 8 matches

    The estimated matrix minimises sum_i w_i (x1_i' E x0_i)^2 with w_i the `match_weights`: no normalisation
    of the points, rank not reduced. By default `geometry` is weighted by w too, so it teaches the network
    to trust matches that fit, and where no pair is valid both terms are 0.
    """
    matched = indices0 >= 0
    valid = matched.sum(dim=-1) >= FEWEST_MATCHES
    weights = match_weights(indices0, scores0, scores1)
    partners = _partners(rays1, indices0)
    usable = torch.where(valid.unsqueeze(-1), weights, torch.ones_like(weights))
    estimate = weighted_eight_point(torch.cat([rays0, partners], dim=-1), usable)
    core = matching_mask[:, :-1, :-1]
    true_partners = _partners(rays1, core.argmax(dim=-1))
    pose = _weighted_mean(
        _bounded_distance(estimate, rays0, true_partners), (core.amax(dim=-1) > 0).to(rays0.dtype)
    )
    geometry = _weighted_mean(
        _bounded_distance(essential, rays0, partners), matched.to(weights.dtype) if compat else weights
    )
    count = valid.sum()
    divisor = count if compat else count.clamp(min=1)
    return PoseConsistencyLoss(
        torch.where(valid, pose, 0).sum() / divisor, torch.where(valid, geometry, 0).sum() / divisor, count
    )
