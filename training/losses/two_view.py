"""The loss of correspondence classifiers: classification of each stage plus what its pose is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from relpose_ros.networks.one_to_one.eight_point import inlier_weights, weighted_eight_point
from relpose_training.losses.correspondence_classification import (
    POSITIVE_BELOW,
    balanced_classification_loss,
)
from relpose_training.losses.essential_matrix import (
    MARGIN,
    essential_from_pose,
    essential_loss,
    geometric_loss,
)

Regression = Literal["geometric", "essential"]

REGRESSION_WEIGHT: dict[Regression, float] = {"geometric": 0.5, "essential": 0.1}


class TwoViewTruth(NamedTuple):
    """What is known of B image pairs with N correspondences."""

    distances: Tensor  # (B, N) squared symmetric epipolar distances of the correspondences to the truth
    rotation: Tensor  # (B, 3, 3) of second_from_first
    translation: Tensor  # (B, 3) of second_from_first, any length but 0
    virtual_points: Tensor  # (B, V, 4) exact correspondences


class StageLoss(NamedTuple):
    """The three losses of one stage (scalars) and its essential matrices (B, 3, 3)."""

    classification: Tensor
    geometric: Tensor
    essential: Tensor
    estimate: Tensor


def stage_loss(
    logits: Tensor,
    correspondences: Tensor,
    truth: TwoViewTruth,
    threshold: float = POSITIVE_BELOW,
    compat: bool = False,
    margin: float = MARGIN,
) -> StageLoss:
    """All losses of one stage: `logits` (B, N) of `correspondences` (B, N, 4 or more) on the plane z = 1.

    `threshold`, `compat`: see `balanced_classification_loss`; `margin`: see `geometric_loss`.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    estimate = weighted_eight_point(correspondences.to(logits.dtype), inlier_weights(logits))
    exact = essential_from_pose(truth.rotation, truth.translation)
    return StageLoss(
        balanced_classification_loss(logits, truth.distances, threshold, compat),
        geometric_loss(estimate, truth.virtual_points, margin),
        essential_loss(estimate, exact),
        estimate,
    )


def total_loss(
    stages: Sequence[StageLoss], regression: Regression | None = "geometric", weight: float | None = None
) -> Tensor:
    """Scalar: sum over stages of classification + 0.5 geometric, or + 0.1 essential, or nothing for None.

    `weight` replaces the published 0.5 or 0.1.
    """
    total = torch.stack([stage.classification for stage in stages]).sum()
    if regression is None:
        return total
    chosen = [stage.geometric if regression == "geometric" else stage.essential for stage in stages]
    share = REGRESSION_WEIGHT[regression] if weight is None else weight
    return total + share * torch.stack(chosen).sum()


def regression_starts(epoch: int, chunk: int, start: tuple[int, int] = (0, 1)) -> bool:
    """Whether the pose counts in this chunk (a shard) of this epoch: from `start` = (epoch, chunk) on.

    Before, the network learns to classify alone, since the eight-point gradient of random weights is noise.
    """
    return (epoch, chunk) >= start
