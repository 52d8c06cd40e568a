"""Parts of image-to-image networks: resampling without aliasing, residual blocks, first weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

INITIAL_DEVIATION = 0.02
"""Of the first weights (Zhu, Park, Isola, Efros, ICCV 2017)."""


class BlurDown(nn.Module):
    """Half the size after a 3x3 binomial filter (Zhang: Making Convolutional Networks Shift-Invariant Again,
    ICML 2019)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (row[:, None] * row)[None, None] / 16, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
        kernel = self.kernel.to(x.dtype).expand(x.shape[1], 1, 3, 3)
        return functional.conv2d(
            functional.pad(x, (1, 1, 1, 1), "reflect"), kernel, stride=2, groups=x.shape[1]
        )


class BlurUp(nn.Module):
    """Twice the size. Zeros between the pixels and the filter 1 3 3 1, the border repeated, as published, are
    bilinear interpolation."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        size = (2 * x.shape[2], 2 * x.shape[3])
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalisation beside a shortcut; borders are reflected."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *convolution(channels, channels, 3), nn.ReLU(), *convolution(channels, channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        added: Tensor = self.layers(x)
        return x + added


def convolution(channels_in: int, channels: int, size: int) -> list[nn.Module]:
    """A convolution that keeps the size, reflecting the border, then instance normalisation."""
    return [
        nn.Conv2d(channels_in, channels, size, padding=size // 2, padding_mode="reflect"),
        nn.InstanceNorm2d(channels),
    ]


def draw_first_weights(module: nn.Module) -> None:
    """Normal with a deviation of 0.02, biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, INITIAL_DEVIATION)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
