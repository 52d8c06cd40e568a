"""Normalisation and activation by name, shared by the keypoint encoder and the graph layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError

NORM_EPS = 1e-3


def full_precision(x: Tensor) -> Tensor:
    """`x` as float32 if it has fewer bits, else unchanged."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class InstanceNorm(nn.Module):
    """Each channel of (B, C, N) to mean 0 and variance 1 over its N keypoints; no parameters, no state.

    As nn.InstanceNorm1d, but one keypoint is allowed (it becomes 0), and it is float32 under autocast.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = full_precision(x)
        if x.shape[-1] == 0:
            return x
        variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        return (x - mean) * torch.rsqrt(variance + NORM_EPS)


def norm_layer(kind: str, channels: int) -> nn.Module:
    """`in` (over the keypoints of one image) or `bn` (over the batch, with running statistics)."""
    if kind == "in":
        return InstanceNorm()
    if kind == "bn":
        return nn.BatchNorm1d(channels, eps=NORM_EPS)
    raise ConfigurationError(f"norm_fn must be 'in' or 'bn', got {kind!r}")


def activation_layer(kind: str) -> nn.Module:
    """`relu`, `gelu` or `lrelu` (slope 0.1)."""
    if kind == "relu":
        return nn.ReLU()
    if kind == "gelu":
        return nn.GELU()
    if kind == "lrelu":
        return nn.LeakyReLU(0.1)
    raise ConfigurationError(f"ac_fn must be 'relu', 'gelu' or 'lrelu', got {kind!r}")


class Pointwise(nn.Conv1d):
    """The same linear map at every keypoint of (B, inputs, N); N may be 0, which nn.Conv1d refuses."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.shape[-1] else x.new_zeros(x.shape[0], self.out_channels, 0)
