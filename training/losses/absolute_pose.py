"""The loss of regressed absolute poses: L1 of translation and log quaternion with learned weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relpose_training.losses.relative_pose_l1 import LearnedWeights, RelativePoseLoss, relative_pose_l1


def absolute_pose_l1(predicted: Tensor, target: Tensor, weights: LearnedWeights) -> RelativePoseLoss:
    """e^-beta mean|t - t*| + beta + e^-gamma mean|w - w*| + gamma.

    `predicted`, `target` (B, 6): translation, then the logarithm of the unit quaternion (half the rotation
    vector). Brahmbhatt, Gu, Kim, Hays, Kautz: Geometry-Aware Learning of Maps for Camera Localization, CVPR
    2018, eq. 3. They keep to quaternions with w >= 0, so near half a turn two like rotations have far
    logarithms; here the target is the logarithm of q or -q, whichever is nearer to the prediction.
    """
    near = nearer_logarithm(predicted[:, 3:], target[:, 3:])
    whole = torch.cat([target[:, :3], near], dim=1)
    return relative_pose_l1(predicted, whole, weights.sax, weights.saq, compat=True)


def nearer_logarithm(predicted: Tensor, target: Tensor) -> Tensor:
    """Of the two logarithms (B, 3) of the rotation whose one is `target`, that nearer to `predicted`.

    The logarithm of -q points the other way with length pi - |log q|; of no rotation it has no direction.
    """
    target = target.to(torch.promote_types(target.dtype, torch.float32))
    length = target.norm(dim=1, keepdim=True)
    other = target * (1 - math.pi / length.clamp_min(1e-6))
    known = length[:, 0] > 1e-3
    guess = predicted.detach().to(target.dtype)
    nearer = (guess - other).square().sum(dim=1) < (guess - target).square().sum(dim=1)
    return torch.where((nearer & known)[:, None], other, target)
