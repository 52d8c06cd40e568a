"""Inlier or outlier: balanced binary cross-entropy over the correspondences of a pair."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

POSITIVE_BELOW = 1e-4
"""Squared symmetric epipolar distance to the truth, on the plane z = 1, below which a match is right."""


def balanced_classification_loss(
    logits: Tensor, distances: Tensor, threshold: float = POSITIVE_BELOW, compat: bool = False
) -> Tensor:
    """Scalar: mean over pairs of half the mean loss of the inliers and half that of the outliers.

    `logits`, `distances` (B, N); a correspondence is an inlier where its distance < `threshold`, and its
    loss is -log sigmoid(logit), of an outlier -log sigmoid(-logit). A class that is absent adds nothing
    (Yi et al., CVPR 2018, eq. 5; Zhang et al., ICCV 2019, eq. 8).
    `compat`: -log(sigmoid(.) + 2.2e-16), which has no gradient where a logit is wrong by more than 36.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        positive = distances < threshold
        signed = torch.where(positive, logits, -logits)
        losses = -torch.log(torch.sigmoid(signed) + 2.2e-16) if compat else functional.softplus(-signed)
        pairs = (_mean_where(losses, positive) + _mean_where(losses, ~positive)) / 2
        return pairs.mean()


def _mean_where(losses: Tensor, mask: Tensor) -> Tensor:
    """Mean (B,) of `losses` (B, N) where `mask`; 0 where it is empty."""
    return (losses * mask).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)
