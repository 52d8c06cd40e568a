"""One candidate at a time, seen with all correspondences of its image pair: the one-to-one networks.

The original's input repeats each of C candidates N times beside the N correspondences: (C, 2, N, width).
Its first convolution is a sum of one term of the correspondence and one of the candidate, so that input
is never made here: the terms are, and broadcast. Features are (B, channels, N, C), one image per pair.

Batch normalisation there has no running statistics and a batch is one pair's candidates: it is the instance
normalisation of these images. Pairs do not see each other; a logit depends on the other candidates given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network

SMALL = (8, 16, 16, 24, 24)
"""Channels of a small variant, for 16 correspondences."""


def candidate_norm(channels: int) -> nn.InstanceNorm2d:
    """Mean 0, variance 1 over one pair's correspondences and candidates, then scale and shift."""
    return nn.InstanceNorm2d(channels, affine=True)


class CandidateNetwork(Network):
    """From `context` (B, N, width) and `candidates` (B, C, width) to logits (B, C).

    `channels`: those of the first features and after each halving of N, so N is 2 to the power of
    (their number - 1). `width` 6: x1, y1, x2, y2 on the plane z = 1, ratio, mutual; 4: without the last two.
    """

    input_names = ("context", "candidates")
    output_names = ("logits",)
    net: nn.ModuleList

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        if width not in (4, 6) or len(channels) < 2:
            raise ConfigurationError(
                f"expected width 4 or 6 and two or more numbers of channels; got {width}, {list(channels)}"
            )
        self.width = width
        self.context_size = 2 ** (len(channels) - 1)
        self.fc1 = nn.Linear(channels[-1], 128)
        self.fc2 = nn.Linear(128, 1)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"channels": list(SMALL)}

    @classmethod
    def channels_from(
        cls, shapes: Mapping[str, tuple[int, ...]], first: str, conv: str
    ) -> tuple[list[int], int]:
        """Channels and width from state-dict `shapes`, given the name of the first convolution and of the
        convolutions in blocks `net.1.`, `net.2.`, ... that change the channels."""
        start, _, _, width = shapes[first]
        blocks = sum(name.startswith("net.") and name.endswith(f".{conv}") for name in shapes)
        return [start, *(shapes[f"net.{b}.{conv}"][0] for b in range(1, blocks + 1))], width

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        context = torch.rand(batch, self.context_size, self.width, generator=generator) * 1.6 - 0.8
        return context, context[:, : min(8, self.context_size)].clone()

    def check(self, context: Tensor, candidates: Tensor) -> None:
        """Raise ConfigurationError for other shapes than (B, N, width) and (B, C, width), C > 1."""
        fits = context.dim() == 3 and context.shape[1:] == (self.context_size, self.width)
        fits &= candidates.dim() == 3 and candidates.shape[::2] == context.shape[::2]
        if not fits or candidates.shape[1] < 2:
            raise ConfigurationError(
                f"expected context (B, {self.context_size}, {self.width}) and candidates "
                f"(B, C, {self.width}), C > 1; got {tuple(context.shape)} and {tuple(candidates.shape)}; "
                "repeat or draw correspondences until there are as many"
            )

    def forward(self, context: Tensor, candidates: Tensor) -> tuple[Tensor]:
        """Logits (B, C) of `candidates` (B, C, width) among `context` (B, N, width), in any order."""
        self.check(context, candidates)
        features = self.net[0](context, candidates)
        for block in list(self.net)[1:]:
            features = block(features)
        return (self.judge(features),)

    def judge(self, features: Tensor) -> Tensor:
        """Logits (B, C) from the last features (B, channels, 1, C)."""
        logits: Tensor = self.fc2(torch.relu(self.fc1(features.squeeze(2).mT)))
        return logits.squeeze(2)


class WidthReduction(nn.Module):
    """relu(norm(conv)) of each correspondence beside each candidate: (B, channels, N, C).

    `convolution`: the published name of the convolution. `nearest_first`: sort the context by its distance
    to the candidate in the first image, with the candidate in the first channel (model_CNN_cont_2).
    """

    def __init__(self, channels: int, width: int, convolution: str, nearest_first: bool = False) -> None:
        super().__init__()
        self.add_module(convolution, nn.Conv2d(2, channels, (1, width), bias=False))
        self.norm = candidate_norm(channels)
        self.convolution, self.nearest_first = convolution, nearest_first

    def forward(self, context: Tensor, candidates: Tensor) -> Tensor:
        weight = self.get_submodule(self.convolution).get_parameter("weight").squeeze(2)
        first, second = weight.unbind(dim=1)  # (channels, width)
        if self.nearest_first:
            first, second = second, first
        around = nn.functional.linear(context, first).mT  # (B, channels, N)
        own = nn.functional.linear(candidates, second).mT.unsqueeze(2)  # (B, channels, 1, C)
        if self.nearest_first:
            order = nearest_order(context, candidates)
            flat = order.flatten(1).unsqueeze(1).expand(-1, around.shape[1], -1)
            around = around.gather(2, flat).unflatten(2, order.shape[1:])
        else:
            around = around.unsqueeze(3)
        return torch.relu(self.norm(around + own))


def nearest_order(context: Tensor, candidates: Tensor) -> Tensor:
    """Indices (B, N, C) of `context` (B, N, width) by distance of x1, y1 to each candidate (B, C, width)."""
    with torch.autocast(context.device.type, enabled=False):
        away = context[:, :, None, :2] - candidates[:, None, :, :2]
        squares = away.square().sum(dim=3)
        if torch.onnx.is_in_onnx_export():  # It knows no stable sort. Of this one it makes a TopK, which is.
            return squares.sort(dim=1).indices
        return squares.sort(dim=1, stable=True).indices
