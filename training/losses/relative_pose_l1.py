"""L1 loss of relative poses with learned weights of translation and rotation, as RelPoseGNN is trained."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from relpose_training.losses.quaternions import (
    conjugate,
    multiply,
    quaternion_of_rotation_vector,
    rotation_vector_of_quaternion,
)


class RelativePoseLoss(NamedTuple):
    """Scalars: the weighted sum, which is trained, and its parts before they are weighted."""

    total: Tensor
    translation: Tensor
    rotation: Tensor


class LearnedWeights(nn.Module):
    """Log variances of translation (`sax`) and rotation (`saq`), learned together with the network.

    Kendall and Cipolla: Geometric loss functions for camera pose regression, CVPR 2017, eq. 3. The names are
    those of published checkpoints, where they belong to the absolute poses and were never trained.
    """

    def __init__(self, translation: float = 0.0, rotation: float = -3.0) -> None:
        super().__init__()
        self.sax = nn.Parameter(torch.tensor([translation]))
        self.saq = nn.Parameter(torch.tensor([rotation]))


def relative_pose_l1(
    predicted: Tensor,
    target: Tensor,
    translation_weight: Tensor,
    rotation_weight: Tensor,
    keep: Tensor | None = None,
    compat: bool = False,
) -> RelativePoseLoss:
    """exp(-sx) mean|dt| + sx + exp(-sq) mean|dq| + sq over edges and components.

    `predicted`, `target` (..., 6): translation, then rotation; the weights sx, sq are log variances of one
    element; `keep` (...) bool leaves edges out. By default the last three numbers are rotation vectors in
    radians (`InSourceFrame`), and dq is the rotation vector from the predicted to the true rotation.
    `compat`: dq is the plain difference of the numbers, logarithms of quaternions (`VectorDifference`).
    """
    with torch.autocast(predicted.device.type, enabled=False):
        predicted = predicted.float() if predicted.dtype.itemsize < 4 else predicted
        target = target.to(predicted.dtype)
        turned = predicted[..., 3:] - target[..., 3:] if compat else _turn(predicted, target)
        translation = _mean(predicted[..., :3] - target[..., :3], keep)
        rotation = _mean(turned, keep)
        sx, sq = translation_weight.sum(), rotation_weight.sum()
        total = torch.exp(-sx) * translation + sx + torch.exp(-sq) * rotation + sq
    return RelativePoseLoss(total, translation, rotation)


def edge_targets(pairs: Tensor, edges: Tensor) -> Tensor:
    """Targets (B, E, 6) of edges (B, 2, E) out of those of all pairs source, target (B, K, K, 6)."""
    nodes = pairs.shape[1]
    flat = (edges[:, 0] * nodes + edges[:, 1])[..., None].expand(-1, -1, pairs.shape[-1])
    return pairs.flatten(1, 2).gather(1, flat)


def _turn(predicted: Tensor, target: Tensor) -> Tensor:
    """The rotation vector (..., 3) of predicted^-1 true."""
    ours = quaternion_of_rotation_vector(predicted[..., 3:])
    return rotation_vector_of_quaternion(
        multiply(conjugate(ours), quaternion_of_rotation_vector(target[..., 3:]))
    )


def _mean(difference: Tensor, keep: Tensor | None) -> Tensor:
    """Mean absolute component of (..., 3); 0 if no edge is kept."""
    absolute = difference.abs()
    if keep is None:
        return absolute.mean()
    kept = keep.to(absolute.dtype)[..., None]
    return (absolute * kept).sum() / (kept.sum() * absolute.shape[-1]).clamp(min=1)
