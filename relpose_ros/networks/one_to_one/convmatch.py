"""ConvMatch (Zhang and Ma, AAAI 2023): correspondences judged by a smooth motion field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork
from relpose_ros.networks.one_to_one.motion_field import (
    CHANNELS,
    GRID,
    AttentionUpdate,
    InlierPredictor,
    MotionEncoder,
    PositionEncoder,
    cell_centres,
)


class ResidualBlock(nn.Module):
    """x + relu(bn(conv(relu(bn(conv(x)))))) of a motion field (B, 128, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.BatchNorm2d(CHANNELS),
        )

    def forward(self, field: Tensor) -> Tensor:
        return field + torch.relu(self.net(field))


class ResidualFilter(nn.Module):
    """Three blocks and a 1x1 convolution."""

    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.resnet = nn.Sequential(*(block() for _ in range(3)))
        self.scale = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1))

    def forward(self, field: Tensor) -> Tensor:
        filtered: Tensor = self.scale(self.resnet(field))
        return filtered


class FieldFilter(nn.Module):
    """A `ResidualFilter` for cells (B, 128, 256)."""

    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.filter = ResidualFilter(block)

    def forward(self, cells: Tensor) -> Tensor:
        field: Tensor = self.filter(cells.unflatten(2, (GRID, GRID)))
        return field.flatten(2)


class Layer(nn.Module):
    """Motions gathered in cells, filtered there and read back; the change of a motion tells an outlier."""

    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.align = AttentionUpdate()
        self.filter = FieldFilter(block)
        self.dealign = AttentionUpdate()
        self.inlier_pre = InlierPredictor()

    def forward(self, motions: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        field = self.filter(self.align(cells, motions))
        rectified = self.dealign(motions, field)
        return rectified, self.inlier_pre(rectified - motions)


class ConvMatch(CorrespondenceNetwork):
    """`layers` (six published) `Layer`s over a field of 16x16 cells.

    `compat`: the cells of the original's CPU and TPU code, whose centres lie 1/32 from the border. Its CUDA
    code, and so published weights, has them in the middle of the cells, 1/16 from the border: the default.
    """

    block: type[nn.Module] = ResidualBlock

    def __init__(self, layers: int = 6, compat: bool = False) -> None:
        super().__init__(width=4)
        self.output_names = tuple(f"logits_{i + 1}" for i in range(layers))  # type: ignore[misc]
        self.margin = 0.5 / GRID if compat else 1 / GRID
        self.pos_embed = PositionEncoder()
        self.grid_pos_embed = PositionEncoder()
        self.init_project = MotionEncoder()
        self.layer_blocks = nn.ModuleList(Layer(self.block) for _ in range(layers))

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"layers": 2}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return {"layers": sum(name.endswith(".align.mh_filter.bias") for name in shapes)}

    def forward(self, correspondences: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, N) after each layer for correspondences (B, N, 4); the last is the result."""
        self.check(correspondences)
        first, second = correspondences.mT.split(2, dim=1)
        motions = self.init_project(second - first) + self.pos_embed(first)
        centres = cell_centres(self.margin, correspondences).expand(len(correspondences), -1, -1)
        cells = self.grid_pos_embed(centres)
        logits = []
        for layer in self.layer_blocks:
            motions, judged = layer(motions, cells)
            logits.append(judged)
        return tuple(logits)
