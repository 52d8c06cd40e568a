"""A small trunk for a CPU that keeps where things are in the image: a map of cells, not one mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUP = 8
"""Channels that are normalised together."""


class NormedBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016), with group normalisation.

    Of Wu and He, Group Normalization, ECCV 2018: the images of a batch are views of one or two places, whose
    statistics are not those of the next place, and an image must look the same alone as in a batch.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(channels_in, channels, 3, stride)
        self.norm1 = nn.GroupNorm(channels // GROUP, channels)
        self.conv2 = _convolution(channels, channels, 3, 1)
        self.norm2 = nn.GroupNorm(channels // GROUP, channels)
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
        nn.init.zeros_(self.norm2.weight)  # begins as the shortcut alone (Goyal et al. 2017, 5.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, channels, H / stride, W / stride)."""
        inner = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(inner + self.shortcut(x))


class CellTrunk(nn.Module):
    """Images (N, 3, H, W), normalised, to numbers for each cell, (N, keys + values, H / cell, W / cell).

    `channels` of four maps, of which each is half as large as the one before. The third has a pixel a cell:
    from it come the `keys`, which are to look alike wherever in the image a thing is seen. For the `values`
    the last is added, which sees most of the image. `cell`: 8 or 16 pixels.
    """

    def __init__(self, channels: Sequence[int], keys: int, values: int, cell: int = 8) -> None:
        super().__init__()
        self.stem = _convolution(3, channels[0], 5, cell // 4)
        self.norm = nn.GroupNorm(channels[0] // GROUP, channels[0])
        self.blocks = nn.ModuleList(NormedBlock(a, b, 2) for a, b in pairwise(channels))
        self.context = nn.Conv2d(channels[-1], channels[-2], 1)
        self.keys = nn.Conv2d(channels[-2], keys, 1)
        self.values = nn.Conv2d(channels[-2], values, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(images)))
        *before, last = self.blocks
        for block in before:
            x = block(x)
        context = functional.interpolate(self.context(last(x)), size=x.shape[2:], mode="nearest")
        return torch.cat([self.keys(x), self.values(functional.relu(x + context))], dim=1)


def _convolution(channels_in: int, channels: int, size: int, stride: int) -> nn.Conv2d:
    """Borders continue the image: zeros there would tell cells by where in the image they are."""
    return nn.Conv2d(channels_in, channels, size, stride, size // 2, bias=False, padding_mode="replicate")
