"""Negative log-likelihood of relative poses, of whose six numbers the network says how sure it is."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from relpose_training.losses.quaternions import (
    conjugate,
    multiply,
    quaternion_of_rotation_vector,
    rotation_vector_of_quaternion,
)
from relpose_training.losses.reprojection import full_precision

Distribution = Literal["laplace", "gaussian"]


@full_precision
def pose_twist(predicted: Tensor, target: Tensor) -> Tensor:
    """The twist (..., 6) that takes the predicted to the true source_from_target, both (..., 6): translation
    and rotation vector.

    Metres, then radians about the fixed axes of the source: what `Rigid.error_to` gives, and what our
    covariances are about.
    """
    ours = quaternion_of_rotation_vector(predicted[..., 3:])
    theirs = quaternion_of_rotation_vector(target[..., 3:])
    turn = rotation_vector_of_quaternion(multiply(theirs, conjugate(ours)))
    return torch.cat([target[..., :3] - predicted[..., :3], turn], dim=-1)


@full_precision
def relative_pose_nll(
    predicted: Tensor,
    log_variance: Tensor,
    target: Tensor,
    distribution: Distribution = "laplace",
    beta: float = 0.0,
) -> Tensor:
    """-ln p (...) of the true relative poses, natural logarithm, without its constant.

    `predicted`, `log_variance`, `target` (..., 6); the six numbers of `pose_twist` are taken for independent.
    laplace: sum of sqrt(2) |r| / s + ln s, which a wrong neighbour does not carry away; gaussian: sum of
    r^2 / (2 s^2) + ln s (Kendall and Gal, NeurIPS 2017, section 3). In both s^2 is the variance.

    `beta` in [0, 1]: each number's part counts s^(2 beta) times, without a gradient: what is easily known
    does not drown what is hard, and a deviation that shrinks does not blow gradients up (Seitzer, Tavakoli,
    Antic, Martius: On the Pitfalls of Heteroscedastic Uncertainty Estimation, ICLR 2022). With 0.5, laplace
    pulls at poses as L1 does. It is no likelihood then, and has the same minimum.
    """
    twist = pose_twist(predicted, target)
    if distribution == "gaussian":
        fit = twist.square() * torch.exp(-log_variance) / 2
    else:
        fit = math.sqrt(2) * twist.abs() * torch.exp(-log_variance / 2)
    parts = fit + log_variance / 2
    return (parts * torch.exp(beta * log_variance.detach()) if beta else parts).sum(dim=-1)
