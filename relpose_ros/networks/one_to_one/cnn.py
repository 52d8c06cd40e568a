"""The one-to-one network of strided convolutions (model_CNN_cont_0 to 3 of the one-to-one framework)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.networks.one_to_one.candidates import CandidateNetwork, WidthReduction, candidate_norm


class Reduction(nn.Module):
    """relu(norm(conv)) without bias; kernel and stride `height` along the correspondences."""

    def __init__(self, channels_in: int, channels: int, height: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(channels_in, channels, (height, 1), (height, 1), bias=False)
        self.norm = candidate_norm(channels)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv2d(features)))


class Halving(nn.Module):
    """(B, channels_in, N, C) to (B, channels, N/2, C)."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.height_reductions = Reduction(channels_in, channels_in, 2)
        self.channel_expansion = Reduction(channels_in, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        expanded: Tensor = self.channel_expansion(self.height_reductions(features))
        return expanded


class First(nn.Module):
    """The block net.0."""

    def __init__(self, channels: int, width: int, nearest_first: bool) -> None:
        super().__init__()
        self.width_reduction = WidthReduction(channels, width, "conv2d", nearest_first)

    def forward(self, context: Tensor, candidates: Tensor) -> Tensor:
        features: Tensor = self.width_reduction(context, candidates)
        return features


class OneToOneCNN(CandidateNetwork):
    """Halves the correspondences by convolution until one is left. The order of the context matters.

    Context of model_CNN_cont_0: as it comes; 1: shuffled; 3: by disparity (relpose_training.data makes these
    orders). 2: `nearest_first`, by the distance to the candidate, which is done here.
    """

    def __init__(self, channels: Sequence[int], width: int = 6, nearest_first: bool = False) -> None:
        super().__init__(channels, width)
        steps = pairwise(channels)
        first = First(channels[0], width, nearest_first)
        self.net = nn.ModuleList([first, *(Halving(*step) for step in steps)])

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        first, conv = "net.0.width_reduction.conv2d.weight", "channel_expansion.conv2d.weight"
        channels, width = cls.channels_from(shapes, first, conv)
        return {"channels": channels, "width": width}
