"""Features of patches of several maps, as the contrastive loss compares them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.networks.translation.layers import draw_first_weights


class PatchProjections(nn.Module):
    """For each map a perceptron of two layers, to unit vectors of `width` numbers. Trained, and not kept."""

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels
        )
        draw_first_weights(self)

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C, H, W) and `places` (P,) int64 in each, row by row, to unit vectors (B, P, width)."""
        vectors = []
        for head, one, at in zip(self.heads, maps, places, strict=True):
            patches = one.flatten(2).index_select(2, at).transpose(1, 2)
            vectors.append(functional.normalize(head(patches).float(), dim=-1))
        return vectors


def draw_places(maps: Sequence[Tensor], count: int, generator: torch.Generator | None = None) -> list[Tensor]:
    """For each map (B, C, H, W) `count` different places (P,), or all if there are fewer."""
    places = []
    for one in maps:
        size = one.shape[2] * one.shape[3]
        drawn = torch.randperm(size, generator=generator)[:count]
        places.append(drawn.to(one.device))
    return places
