"""CLNet: progressive pruning by local-to-global consensus (Zhao et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork, logits_of
from relpose_ros.networks.one_to_one.eight_point import inlier_weights, weighted_eight_point
from relpose_ros.networks.one_to_one.epipolar import symmetric_epipolar_distance
from relpose_ros.networks.one_to_one.local_global import (
    CHANNELS,
    AnnularConvolution,
    ContextBlock,
    WeightedGraph,
)

KEPT = 0.5


class Pruning(nn.Module):
    """Two logits for each correspondence, by local and then by global consensus.

    `predict`: also prepares what the model is estimated from: `embed_2` and `linear_2`.
    """

    def __init__(self, width: int, neighbours: int, blocks: int, predict: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(width, CHANNELS, 1), nn.BatchNorm2d(CHANNELS), nn.ReLU())
        self.gcn = WeightedGraph()
        self.embed_0 = nn.Sequential(
            *(ContextBlock() for _ in range(blocks)),
            AnnularConvolution(neighbours),
            *(ContextBlock() for _ in range(blocks)),
        )
        self.embed_1 = nn.Sequential(ContextBlock())
        self.linear_0 = nn.Conv2d(CHANNELS, 1, 1)
        self.linear_1 = nn.Conv2d(CHANNELS, 1, 1)
        if predict:
            self.embed_2 = ContextBlock()
            self.linear_2 = nn.Conv2d(CHANNELS, 2, 1)

    def forward(self, correspondences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, 128, N, 1) and both logits (B, N) of correspondences (B, N, width)."""
        features = self.embed_0(self.conv(correspondences.mT.unsqueeze(3)))
        local = logits_of(self.linear_0(features))
        features = self.embed_1(features + self.gcn(features, local))
        return features, local, logits_of(self.linear_1(features))


class CLNet(CorrespondenceNetwork):
    """Keeps the better half twice, and estimates an essential matrix from the last quarter.

    `blocks`: those before and those after each annular convolution.
    """

    output_names = (
        *(f"logits_{i}" for i in range(1, 6)),
        *("kept_1", "kept_2", "essential", "distances"),
    )

    def __init__(self, blocks: int = 4) -> None:
        super().__init__(width=4)
        self.ds_0 = Pruning(4, neighbours=9, blocks=blocks)
        self.ds_1 = Pruning(6, neighbours=6, blocks=blocks, predict=True)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"blocks": 1}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        beside = [n for n in shapes if n.startswith("ds_0.embed_0.") and n.endswith(".right.0.bias")]
        return {"blocks": len(beside) // 2}

    def forward(self, correspondences: Tensor) -> tuple[Tensor, ...]:
        """Of correspondences (B, N, 4), N >= 12 (below 32 `essential` is not unique):

        logits_1, logits_2 (B, N); logits_3, logits_4 (B, N/2) of those `kept_1` (B, N/2); logits_5
        (B, N/4) of those `kept_2` (B, N/4), indices among the N, best first; `essential` (B, 3, 3), unit
        norm, its largest element positive; `distances` (B, N), its squared symmetric epipolar distances.
        """
        self.check(correspondences)
        _, local_1, global_1 = self.ds_0(correspondences)
        kept_1 = _better_half(global_1)
        half = _take(correspondences, kept_1)
        judged = torch.stack([local_1, global_1], dim=-1).detach()
        weights = inlier_weights(_take(judged, kept_1))
        features, local_2, global_2 = self.ds_1(torch.cat([half, weights.to(half.dtype)], dim=-1))
        best = _better_half(global_2)
        kept_2 = kept_1.gather(1, best)
        features = self.ds_1.embed_2(_take(features.squeeze(3).mT, best).mT.unsqueeze(3))
        logits = self.ds_1.linear_2(features).squeeze(3)
        essential = _essential(_take(half, best), logits)
        distances = symmetric_epipolar_distance(essential.detach(), correspondences.detach())
        scores = (local_1, global_1, local_2, global_2, logits[:, 0])
        return (*scores, kept_1, kept_2, essential, distances.to(correspondences.dtype))


def _better_half(logits: Tensor) -> Tensor:
    """Indices (B, N/2) of the greatest of logits (B, N), greatest first."""
    return logits.detach().topk(int(logits.shape[1] * KEPT), dim=1).indices


def _take(values: Tensor, indices: Tensor) -> Tensor:
    """values (B, N, C) at indices (B, M): (B, M, C)."""
    return values.gather(1, indices.unsqueeze(2).expand(-1, -1, values.shape[2]))


def _essential(correspondences: Tensor, logits: Tensor) -> Tensor:
    """E (B, 3, 3) from logits (B, 2, N): sigmoid(first) exp(second), made to sum to 1, are the weights."""
    with torch.autocast(logits.device.type, enabled=False):
        mask, weight = logits.to(torch.promote_types(logits.dtype, torch.float32)).unbind(dim=1)
        weights = torch.sigmoid(mask) * torch.exp(weight)
        weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-5)
        essential = weighted_eight_point(correspondences, weights)
        flat = essential.flatten(1)
        largest = flat.gather(1, flat.detach().abs().argmax(dim=1, keepdim=True))
        return essential * largest.detach().sign().unsqueeze(2)
