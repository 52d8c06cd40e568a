"""CLNet's loss: classification at every level of its pruning, and the geometry of what is left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from relpose_training.losses.correspondence_classification import POSITIVE_BELOW


def pruning_classification_loss(
    levels: Sequence[Tensor], distances: Sequence[Tensor], threshold: float = POSITIVE_BELOW
) -> Tensor:
    """Scalar: sum over levels of `level_loss` of logits (B, N_l) and squared distances (B, N_l)."""
    pairs = zip(levels, distances, strict=True)
    return torch.stack([level_loss(logits, away, threshold) for logits, away in pairs]).sum()


def level_loss(logits: Tensor, distances: Tensor, threshold: float = POSITIVE_BELOW) -> Tensor:
    """Scalar: mean over pairs and correspondences of a weighted binary cross-entropy (Zhao et al.,
    ICCV 2021).

    The logit of an inlier, whose squared epipolar `distances` (B, N) is below `threshold`, is first
    multiplied by exp(-|distance - threshold| / threshold): the nearer to the boundary, the surer it must be
    before it counts as learnt. Inliers weigh max(outliers / inliers, 1) of their pair.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        positive = distances < threshold
        temperature = torch.where(positive, torch.exp(-(distances - threshold).abs() / threshold), 1.0)
        inliers = positive.sum(dim=1, keepdim=True)
        ratio = (distances.shape[1] - inliers) / inliers.clamp(min=1)
        return functional.binary_cross_entropy_with_logits(
            temperature.to(logits.dtype) * logits,
            positive.to(logits.dtype),
            pos_weight=ratio.to(logits.dtype).clamp(min=1),
        )


def level_distances(distances: Tensor, kept_1: Tensor, kept_2: Tensor) -> tuple[Tensor, ...]:
    """Distances (B, N) of the correspondences that CLNet judges at each of its five levels.

    `kept_1` (B, N/2), `kept_2` (B, N/4): its outputs.
    """
    half, quarter = distances.gather(1, kept_1), distances.gather(1, kept_2)
    return distances, distances, half, half, quarter
