"""EOT: the one-to-one network that pools by attention (model_EOT of the one-to-one framework)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.networks.one_to_one.candidates import CandidateNetwork, WidthReduction, candidate_norm


class Pointwise(nn.Module):
    """relu(norm(conv 1x1)) without bias of dimension 1."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.cnn = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.norm = candidate_norm(channels)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.norm(self.cnn(features)))


class PointwiseShortcut(nn.Module):
    """x + relu(norm(conv 1x1)) across the pooled heights: features are (B, height, channels, C)."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self.pointwise_conv = Pointwise(height, height)

    def forward(self, features: Tensor) -> Tensor:
        mixed: Tensor = self.pointwise_conv(features)
        return features + mixed


class Pooling(nn.Module):
    """(B, channels, N, C) to (B, channels, height, C): means weighted by a softmax over N."""

    def __init__(self, channels: int, height: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, height, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        shares = self.conv(features).softmax(dim=2)
        pooled: Tensor = features.permute(0, 3, 1, 2) @ shares.permute(0, 3, 2, 1)
        return pooled.permute(0, 2, 3, 1)


class Halving(nn.Module):
    """(B, channels_in, 2 height, C) to (B, channels, height, C)."""

    def __init__(
        self, channels_in: int, channels: int, height: int, pointwise: int, second_pooling: bool
    ) -> None:
        super().__init__()
        self.channel_expansion = Pointwise(channels_in, channels)
        self.pool_1_to_1_A = Pooling(channels, height)
        if pointwise:
            layers = (PointwiseShortcut(height) for _ in range(pointwise))
            self.pointwise_Conv_Shortcut_layers_net = nn.Sequential(*layers)
        if second_pooling:
            self.pool_1_to_1_B = Pooling(channels, height)
        self.pointwise, self.second_pooling = pointwise, second_pooling

    def forward(self, features: Tensor) -> Tensor:
        features = self.pool_1_to_1_A(self.channel_expansion(features))
        if self.pointwise:
            features = self.pointwise_Conv_Shortcut_layers_net(features.transpose(1, 2)).transpose(1, 2)
        if self.second_pooling:
            features = self.pool_1_to_1_B(features)
        return features


class First(nn.Module):
    """The block net.0."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width_reduction = WidthReduction(channels, width, "cnn")

    def forward(self, context: Tensor, candidates: Tensor) -> Tensor:
        features: Tensor = self.width_reduction(context, candidates)
        return features


class EOT(CandidateNetwork):
    """Halves the correspondences by attention pooling until one is left.

    `pointwise`: convolutions across the pooled heights in each block; `second_pooling`: another pooling of
    the same height after them (no golden covers it: experiments with it are not proven equal).
    """

    def __init__(
        self, channels: Sequence[int], pointwise: int = 1, second_pooling: bool = False, width: int = 6
    ) -> None:
        super().__init__(channels, width)
        blocks: list[nn.Module] = [First(channels[0], width)]
        height = self.context_size
        for before, after in pairwise(channels):
            height //= 2
            blocks.append(Halving(before, after, height, pointwise, second_pooling))
        self.net = nn.ModuleList(blocks)

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        first, conv = "net.0.width_reduction.cnn.weight", "channel_expansion.cnn.weight"
        channels, width = cls.channels_from(shapes, first, conv)
        second = "net.1.pool_1_to_1_B.conv.weight" in shapes
        layer = "net.1.pointwise_Conv_Shortcut_layers_net."
        pointwise = sum(n.startswith(layer) and n.endswith(".cnn.weight") for n in shapes)
        return {"channels": channels, "pointwise": pointwise, "second_pooling": second, "width": width}
