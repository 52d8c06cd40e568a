"""Parts that DSAC*, TransPose and CrossLoc share. Names of submodules are those of the released weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STRIDE = 8
"""Pixels of the image for one cell of the map."""

KERNELS = (3, 1, 3)
"""Kernel sizes of a residual branch."""


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size at stride 1, and gives ceil(size / 2) at stride 2."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalisation over 32 groups of channels, or one a channel where there are fewer."""
    return nn.GroupNorm(min(32, channels), channels)


def add_branch(
    parent: nn.Module,
    name: str,
    inputs: int,
    outputs: int,
    kernels: Sequence[int] = KERNELS,
    norm: bool = True,
) -> None:
    """Add `<name>_conv1`, `<name>_norm1`, `<name>_conv2`, ... to `parent`, flat as in released weights."""
    for i, kernel in enumerate(kernels, 1):
        parent.add_module(f"{name}_conv{i}", convolution(inputs if i == 1 else outputs, outputs, kernel))
        if norm:
            parent.add_module(f"{name}_norm{i}", group_norm(outputs))


def run_branch(parent: nn.Module, name: str, x: Tensor) -> Tensor:
    """What `add_branch` made: each convolution, its norm if there is one, and ReLU."""
    for i in range(1, len(KERNELS) + 1):
        x = getattr(parent, f"{name}_conv{i}")(x)
        if hasattr(parent, f"{name}_norm{i}"):
            x = getattr(parent, f"{name}_norm{i}")(x)
        x = torch.relu(x)
    return x


def residual_branch(inputs: int, outputs: int) -> nn.Sequential:
    """The same branch as a numbered sequence (`enc_add_res_block1.0`, ...)."""
    parts: list[nn.Module] = []
    for i, kernel in enumerate(KERNELS):
        parts += [convolution(inputs if i == 0 else outputs, outputs, kernel), group_norm(outputs), nn.ReLU()]
    return nn.Sequential(*parts)


def in_weight_precision(layer: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    """`layer(x)` in the precision of its weights, also under autocast.

    For the layer that predicts: bfloat16 keeps 8 bits, 4 metres in a kilometre.
    """
    if not torch.is_autocast_enabled(x.device.type):
        result: Tensor = layer(x)
        return result
    with torch.autocast(x.device.type, enabled=False):
        return in_weight_precision(layer, x.to(layer.weight.dtype))
