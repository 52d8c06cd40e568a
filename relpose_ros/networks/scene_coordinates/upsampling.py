"""From the cells of the map back to every pixel: the two heads of TransPose and CrossLoc that do it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.networks.scene_coordinates.blocks import STRIDE, convolution, group_norm, residual_branch


class TransposedUpsampling(nn.Module):
    """Three transposed convolutions and residual blocks (TransPose's `--fullsize`).

    Mixed into the decoder, so that the names stay flat. Features (B, C, h, w) -> (B, C / 16, H, W).
    """

    def add_upsampling(self, channels: int) -> int:
        """Make the layers; returns how many channels come out."""
        widths = [channels, channels // 2, channels // 4, channels // 8]
        after = [*widths[1:3], channels // 16]
        for i in (1, 2):
            self.add_module(f"pre_up_res_block{i}", residual_branch(channels, channels))
        for i in range(1, 4):
            up = nn.ConvTranspose2d(widths[i - 1], widths[i], 3, stride=2, padding=1, output_padding=1)
            self.add_module(f"up_conv{i}", up)
            self.add_module(f"up_norm{i}", group_norm(widths[i]))
            self.add_module(f"forward_conv{i}", convolution(widths[i], after[i - 1]))
            self.add_module(f"forward_norm{i}", group_norm(after[i - 1]))
        for i in (1, 2):
            self.add_module(f"post_up_res_block{i}", residual_branch(after[-1], after[-1]))
        return after[-1]

    def run_upsampling(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Features (B, C, h, w) -> (B, C / 16, *size)."""
        x = self._residual("pre_up_res_block", x)
        for i in range(1, 4):
            x = torch.relu(getattr(self, f"up_norm{i}")(getattr(self, f"up_conv{i}")(x)))
            if i == 3:
                x = functional.interpolate(x, size, mode="nearest")
            x = torch.relu(getattr(self, f"forward_norm{i}")(getattr(self, f"forward_conv{i}")(x)))
        return self._residual("post_up_res_block", x)

    def _residual(self, name: str, x: Tensor) -> Tensor:
        for i in (1, 2):
            x = torch.relu(x + getattr(self, f"{name}{i}")(x))
        return x


class DenseUpsampling(nn.Module):
    """Dense upsampling convolution (Wang et al., WACV 2018): (B, C, h, w) -> (B, `classes`, *size)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = convolution(channels, classes * STRIDE**2)
        self.norm = group_norm(classes * STRIDE**2)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = functional.pixel_shuffle(torch.relu(self.norm(self.conv(x))), STRIDE)
        return functional.interpolate(x, size, mode="bilinear", align_corners=False)
