"""The decoder of TransPose and CrossLoc: features -> coordinates, depth, normals or classes, and a scale."""

from __future__ import annotations

import torch
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.scene_coordinates.blocks import (
    add_branch,
    convolution,
    group_norm,
    in_weight_precision,
    residual_branch,
    run_branch,
)
from relpose_ros.networks.scene_coordinates.deviations import deviation
from relpose_ros.networks.scene_coordinates.upsampling import DenseUpsampling, TransposedUpsampling

HEADS = ("cells", "transposed", "dense")


class Decoder(TransposedUpsampling):
    """Features (B, `channels`, h, w) -> map (B, len(mean) + scales, h, w), or of the image's size.

    The first channels are the task's, with `mean` added; the last `scales` are their `deviation`.
    `head`: "cells" predicts one value a cell; "transposed" (TransPose) and "dense" (CrossLoc) one a pixel.
    """

    mean: Tensor

    def __init__(
        self, channels: int, mean: Tensor, scales: int = 0, head: str = "cells", extra_blocks: int = 2
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ConfigurationError(f"unknown head {head!r} of the decoder; expected one of {HEADS}")
        self.register_buffer("mean", mean)
        for i in range(1, extra_blocks + 1):
            self.add_module(f"dec_add_res_block{i}", residual_branch(channels, channels))
        add_branch(self, "res3", channels, channels, kernels=(1, 1, 1))
        width = self.add_upsampling(channels) if head == "transposed" else channels
        self.fc1, self.fc1_norm = convolution(width, width, 1), group_norm(width)
        self.fc2, self.fc2_norm = convolution(width, width, 1), group_norm(width)
        outputs = len(mean) + scales
        if head == "dense":
            self.duc_upsample = DenseUpsampling(width, outputs)
        self.fc3 = convolution(outputs if head == "dense" else width, outputs, 1)
        self.head = head
        self.extra_blocks = extra_blocks

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """`size`: height and width of the image, for the heads that predict every pixel."""
        for i in range(1, self.extra_blocks + 1):
            x = torch.relu(x + getattr(self, f"dec_add_res_block{i}")(x))
        x = torch.relu(x + run_branch(self, "res3", x))
        if self.head == "transposed":
            x = self.run_upsampling(x, size)
        x = torch.relu(self.fc1_norm(self.fc1(x)))
        x = torch.relu(self.fc2_norm(self.fc2(x)))
        if self.head == "dense":
            x = self.duc_upsample(x, size)
        return self._activate(in_weight_precision(self.fc3, x))

    def _activate(self, raw: Tensor) -> Tensor:
        channels = len(self.mean)
        prediction = raw[:, :channels] + self.mean[:, None, None]
        return torch.cat([prediction, deviation(raw[:, channels:])], dim=1)
