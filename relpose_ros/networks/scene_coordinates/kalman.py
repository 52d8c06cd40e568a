"""The Kalman filter of KFNet, a cell at a time (Zhou et al., CVPR 2020, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

CHI2_3_95 = 7.815
"""95 % of a chi-squared variable with three degrees of freedom are below."""


def fuse(
    predicted: Tensor, predicted_scale: Tensor, measured: Tensor, measured_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Prediction and measurement (B, 3, h, w), standard deviations (B, 1, h, w) -> the posterior's.

    K = s_p^2 / (s_p^2 + s_m^2), X = (1 - K) X_p + K X_m, s = sqrt(1 - K) s_p, here as sqrt(K) s_m, which
    is the same number and does not cancel where the prediction knows nothing.
    """
    gain = predicted_scale**2 / (predicted_scale**2 + measured_scale**2)
    return (1 - gain) * predicted + gain * measured, gain.sqrt() * measured_scale


def normalised_innovation(
    predicted: Tensor, predicted_scale: Tensor, measured: Tensor, measured_scale: Tensor
) -> Tensor:
    """The squared innovation over its variance, an axis at a time: (B, 3, h, w), as `fuse` takes them."""
    return (measured - predicted) ** 2 / (predicted_scale**2 + measured_scale**2)


def gate(innovation: Tensor, fused: Tensor, measured: Tensor, threshold: float = CHI2_3_95) -> Tensor:
    """`fused` (B, C, h, w), or `measured` where the innovation (B, 3, h, w), summed, exceeds `threshold`."""
    return torch.where(innovation.sum(1, keepdim=True) > threshold, measured, fused)
