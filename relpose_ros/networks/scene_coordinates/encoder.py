"""The encoder of TransPose and CrossLoc: image -> features at one eighth of its size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relpose_ros.networks.scene_coordinates.blocks import (
    add_branch,
    convolution,
    group_norm,
    residual_branch,
    run_branch,
)


class Encoder(nn.Module):
    """Images (B, 3 or 1, H, W), normalised -> features (B, `channels`, ceil(H/8), ceil(W/8)), not negative.

    The trunk of DSAC* with group normalisation after every convolution, ReLU after every residual sum,
    and `extra_blocks` more residual blocks.
    """

    def __init__(self, tiny: bool = False, grayscale: bool = False, extra_blocks: int = 2) -> None:
        super().__init__()
        middle, last = (128, 128) if tiny else (256, 512)
        widths = (1 if grayscale else 3, 32, 64, 128, middle)
        for i in range(1, 5):
            self.add_module(f"conv{i}", convolution(widths[i - 1], widths[i], stride=1 if i == 1 else 2))
            self.add_module(f"norm{i}", group_norm(widths[i]))
        add_branch(self, "res1", middle, middle)
        add_branch(self, "res2", middle, last)
        if not tiny:
            self.res2_skip = convolution(middle, last, 1)
            self.res2_skip_norm = group_norm(last)
        for i in range(1, extra_blocks + 1):
            self.add_module(f"enc_add_res_block{i}", residual_branch(last, last))
        self.tiny = tiny
        self.extra_blocks = extra_blocks
        self.channels = last

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, 5):
            x = torch.relu(getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
        x = torch.relu(x + run_branch(self, "res1", x))
        skip = x if self.tiny else self.res2_skip_norm(self.res2_skip(x))
        x = torch.relu(skip + run_branch(self, "res2", x))
        for i in range(1, self.extra_blocks + 1):
            x = torch.relu(x + getattr(self, f"enc_add_res_block{i}")(x))
        return x
