"""ResNet-34 with torchvision's parameter names, its classifier replaced by a descriptor of free size.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, table 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Stages = Sequence[tuple[int, int, int]]

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
    """Images (N, 3, H, W), normalised, to descriptors (N, dimension) without a ReLU at the end.

    Other `stages` than those of the paper make a smaller network; the first convolution has as many channels
    as the first stage.
    """

    def __init__(self, dimension: int, stages: Stages = STAGES) -> None:
        super().__init__()
        self.depth = len(stages)
        channels_in = stages[0][0]
        self.conv1 = nn.Conv2d(3, channels_in, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for number, (channels, blocks, stride) in enumerate(stages, 1):
            self.add_module(f"layer{number}", _stage(channels_in, channels, blocks, stride))
            channels_in = channels
        self.fc = nn.Linear(channels_in, dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps after the max pooling and each stage: of the paper's four, strides 4, 4, 8, 16, 32."""
        maps = [self.maxpool(self.relu(self.bn1(self.conv1(images))))]
        for number in range(1, self.depth + 1):
            maps.append(self.get_submodule(f"layer{number}")(maps[-1]))
        return maps

    def pooled(self, images: Tensor) -> Tensor:
        """Means (N, 512) of the last map (its channels), which `fc` turns into descriptors."""
        return self.stages(images)[-1].mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        descriptor: Tensor = self.fc(self.pooled(images))
        return descriptor


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(channels_in, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))
