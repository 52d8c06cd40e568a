"""Blocks of MobileNetV4 (Qin et al., ECCV 2024) under the names that timm gives them."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn


class Plain(NamedTuple):
    """A convolution with batch norm and ReLU: its kernel, stride and channels."""

    kernel: int
    stride: int
    channels: int


class Inverted(NamedTuple):
    """A universal inverted bottleneck; a kernel of 0 leaves that depthwise convolution out."""

    start: int
    middle: int
    stride: int
    expansion: int
    channels: int


class ConvNorm(nn.Module):
    """A convolution without bias, batch norm, and ReLU if `active`: tensors `conv` and `bn` (or `norm`)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        active: bool = True,
        norm: str = "bn",
    ) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs, kernel, stride, dilation, groups)
        self.norm = norm
        self.add_module(norm, nn.BatchNorm2d(outputs))
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = getattr(self, self.norm)(self.conv(x))
        return normed.relu_() if self.active else normed


class InvertedBottleneck(nn.Module):
    """Depthwise (optional), expand, depthwise (optional), project; added to its input where shapes allow.

    `stride` falls on the middle depthwise convolution, or on the first one if there is no middle.
    """

    def __init__(self, inputs: int, block: Inverted, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        wide = divisible(inputs * block.expansion)
        self.has_skip = inputs == channels and stride == 1
        first, second = (1, stride) if block.middle else (stride, 1)
        self.dw_start: nn.Module = (
            ConvNorm(
                inputs,
                inputs,
                block.start,
                stride=first,
                dilation=dilation,
                groups=inputs,
                active=False,
            )
            if block.start
            else nn.Identity()
        )
        self.pw_exp = ConvNorm(inputs, wide)
        self.dw_mid: nn.Module = (
            ConvNorm(wide, wide, block.middle, stride=second, dilation=dilation, groups=wide)
            if block.middle
            else nn.Identity()
        )
        self.pw_proj = ConvNorm(wide, channels, active=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pw_proj(self.dw_mid(self.pw_exp(self.dw_start(x))))
        return x + out if self.has_skip else out


def divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` that is no more than a tenth smaller, as timm rounds."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """One without bias that keeps the size (but for its stride); He's first weights by what goes out."""
    made = nn.Conv2d(
        inputs,
        outputs,
        kernel,
        stride=stride,
        padding=(stride - 1 + dilation * (kernel - 1)) // 2,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    fan_out = kernel * kernel * outputs // groups
    nn.init.normal_(made.weight, 0.0, math.sqrt(2.0 / fan_out))
    return made
