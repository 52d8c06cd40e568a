"""What ConvMatch is made of: attention between correspondences and the cells of a motion field."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

CHANNELS = 128
HEADS = 4
GRID = 16


def perceptron() -> nn.Sequential:
    """Points (B, 2, N) to features (B, 128, N)."""
    return nn.Sequential(
        *(nn.Conv1d(2, 32, 1), nn.BatchNorm1d(32), nn.ReLU()),
        *(nn.Conv1d(32, 64, 1), nn.BatchNorm1d(64), nn.ReLU()),
        nn.Conv1d(64, CHANNELS, 1),
    )


class PositionEncoder(nn.Module):
    """`perceptron` of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.position_encoder = perceptron()

    def forward(self, positions: Tensor) -> Tensor:
        features: Tensor = self.position_encoder(positions)
        return features


class MotionEncoder(nn.Module):
    """`perceptron` of motions."""

    def __init__(self) -> None:
        super().__init__()
        self.init_project = perceptron()

    def forward(self, motions: Tensor) -> Tensor:
        features: Tensor = self.init_project(motions)
        return features


class AttentionUpdate(nn.Module):
    """Features (B, 128, N) plus what they find in a source (B, 128, M) by attention of four heads.

    A head is a block of 32 consecutive channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.query_filter = nn.Conv1d(CHANNELS, CHANNELS, 1)
        self.key_filter = nn.Conv1d(CHANNELS, CHANNELS, 1)
        self.value_filter = nn.Conv1d(CHANNELS, CHANNELS, 1)
        self.mh_filter = nn.Conv1d(CHANNELS, CHANNELS, 1)
        self.cat_filter = nn.Sequential(
            nn.Conv1d(2 * CHANNELS, 2 * CHANNELS, 1),
            nn.BatchNorm1d(2 * CHANNELS),
            nn.ReLU(),
            nn.Conv1d(2 * CHANNELS, CHANNELS, 1),
        )

    def forward(self, features: Tensor, source: Tensor) -> Tensor:
        query = _heads(self.query_filter(features))
        key, value = _heads(self.key_filter(source)), _heads(self.value_filter(source))
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        message = self.mh_filter(found.mT.flatten(1, 2))
        updated: Tensor = features + self.cat_filter(torch.cat([features, message], dim=1))
        return updated


def _heads(features: Tensor) -> Tensor:
    """(B, 128, N) as (B, 4, N, 32)."""
    heads: Tensor = features.unflatten(1, (HEADS, -1)).mT
    return heads


class InlierPredictor(nn.Module):
    """Feature changes (B, 128, N) to logits (B, N)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (CHANNELS, 64, 16, 4)
        for size_in, size in pairwise(sizes):
            norms = nn.InstanceNorm1d(size, eps=1e-3), nn.BatchNorm1d(size)
            layers += [nn.Conv1d(size_in, size, 1), *norms, nn.ReLU()]
        self.inlier_pre = nn.Sequential(*layers, nn.Conv1d(sizes[-1], 1, 1))

    def forward(self, changes: Tensor) -> Tensor:
        logits: Tensor = self.inlier_pre(changes)
        return logits.squeeze(1)


def cell_centres(margin: float, like: Tensor) -> Tensor:
    """Positions (2, 256) of 16x16 cells, x to the right and y from 1 down to -1, `margin` from the border."""
    axis = torch.linspace(margin - 1, 1 - margin, GRID, dtype=like.dtype, device=like.device)
    return torch.stack([axis.repeat(GRID), axis.flip(0).repeat_interleave(GRID)])
