"""ResNet-34 with torchvision's parameter names, its classifier replaced by a descriptor of free size.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Channels, number of blocks and stride of the first block of each stage."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return torch.relu(inner + shortcut)


class ResNet34(nn.Module):
    """Images (N, 3, H, W), normalised, to descriptors (N, dimension) without a ReLU at the end."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels_in = 64
        for number, (channels, blocks, stride) in enumerate(STAGES, 1):
            self.add_module(f"layer{number}", _stage(channels_in, channels, blocks, stride))
            channels_in = channels
        self.fc = nn.Linear(channels_in, dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps after the max pooling and after each of the four stages: strides 4, 4, 8, 16, 32."""
        maps = [self.maxpool(self.relu(self.bn1(self.conv1(images))))]
        for number in range(1, len(STAGES) + 1):
            maps.append(self.get_submodule(f"layer{number}")(maps[-1]))
        return maps

    def pooled(self, images: Tensor) -> Tensor:
        """Means (N, 512) of the last map, which `fc` turns into descriptors."""
        return self.stages(images)[-1].mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        descriptor: Tensor = self.fc(self.pooled(images))
        return descriptor


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(channels_in, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))
