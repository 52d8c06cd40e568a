"""The pose loss of a pair whose candidates do not fit into memory at once.

First all logits are collected without a graph (score), then the geometric loss and its gradient by them are
taken (pose), then batches of candidates run again with a graph and `candidate_batch_loss` (learn). The
batches are those of relpose_training.data.pair_batches. Clear the gradients before each pair: the original
never does, so that every step of it also repeats those of the pairs before.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.networks.one_to_one.eight_point import inlier_weights, weighted_eight_point
from relpose_training.losses.correspondence_classification import (
    POSITIVE_BELOW,
    balanced_classification_loss,
)
from relpose_training.losses.essential_matrix import geometric_loss


def pose_gradient(logits: Tensor, correspondences: Tensor, virtual_points: Tensor) -> tuple[Tensor, Tensor]:
    """The geometric loss (scalar) of `logits` (B, N), all of each pair, and its gradient (B, N) by them.

    `correspondences` (B, N, 4 or more), `virtual_points` (B, V, 4): see `geometric_loss`.
    """
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        estimate = weighted_eight_point(correspondences, inlier_weights(leaf))
        loss = geometric_loss(estimate, virtual_points)
        (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def candidate_batch_loss(
    logits: Tensor,
    distances: Tensor,
    gradient: Tensor,
    inliers: int | Tensor,
    outliers: int | Tensor,
    weight: float = 0.5,
    threshold: float = POSITIVE_BELOW,
) -> Tensor:
    """Scalar for a batch of one pair's candidates: summed over the batches, its gradient is the whole pair's.

    `logits`, `distances`, `gradient` (C,): of the batch; `inliers`, `outliers`: numbers in the whole pair.
    By the chain rule: `gradient` is that of the geometric loss, and the classification loss is a sum.
    """
    positive = distances < threshold
    losses = functional.softplus(torch.where(positive, -logits, logits))
    classes = torch.where(positive, torch.as_tensor(inliers), torch.as_tensor(outliers)).clamp(min=1)
    return (losses / (2 * classes)).sum() + weight * (gradient.detach() * logits).sum()


def feedback_loss(
    logits: Tensor, distances: Tensor, gradient: Tensor, step: float = 0.01, threshold: float = POSITIVE_BELOW
) -> Tensor:
    """Scalar: classification loss of logits (B, C) moved by `step` (the learning rate) against `gradient`.

    The original's way to bring the pose into the batches: 0.5 of this is added to the classification loss.
    It changes the loss, not its gradient by the pose; `candidate_batch_loss` is what it stands for.
    """
    moved = logits - step * gradient.detach()
    return balanced_classification_loss(moved, distances, threshold, compat=True)
