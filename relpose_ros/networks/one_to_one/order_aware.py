"""What makes OANet order-aware (Zhang et al., ICCV 2019): learned clusters and a filter over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.networks.one_to_one.blocks import PreActivationBlock, context_norm, logits_of

CHANNELS = 128
CLUSTERS = 500


class Assignment(nn.Module):
    """Scores (B, clusters, N) of each correspondence for each cluster, from features (B, C, N, 1)."""

    def __init__(self, clusters: int) -> None:
        super().__init__()
        self.context_norm = context_norm(CHANNELS)
        self.batchnorm = nn.BatchNorm2d(CHANNELS)
        self.Conv2d = nn.Conv2d(CHANNELS, clusters, 1)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.Conv2d(torch.relu(self.batchnorm(self.context_norm(features))))
        return scores.squeeze(3)


class OrderAwareFilter(nn.Module):
    """A residual block over clusters (B, C, clusters, 1): along C, then along the clusters, then along C."""

    def __init__(self, clusters: int) -> None:
        super().__init__()
        self.context_norm = context_norm(CHANNELS)
        self.batchnorm_1 = nn.BatchNorm2d(CHANNELS)
        self.Conv2d_1 = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.batchnorm_2 = nn.BatchNorm2d(clusters)
        self.Conv2d_2 = nn.Conv2d(clusters, clusters, 1)
        self.batchnorm_3 = nn.BatchNorm2d(CHANNELS)
        self.Conv2d_3 = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, clusters: Tensor) -> Tensor:
        out: Tensor = self.Conv2d_1(torch.relu(self.batchnorm_1(self.context_norm(clusters))))
        across = out.transpose(1, 2)
        across = across + self.Conv2d_2(torch.relu(self.batchnorm_2(across)))
        out = across.transpose(1, 2)
        out = self.Conv2d_3(torch.relu(self.batchnorm_3(self.context_norm(out))))
        return clusters + out


class OrderAwareStage:
    """One pass of OANet. Its modules belong to the network, whose published state-dict names are flat.

    `blocks` residual blocks, pooling to `clusters`, `blocks` filters, un-pooling, `blocks` residual blocks.
    """

    def __init__(
        self,
        network: nn.Module,
        blocks: int,
        clusters: int,
        suffix: str = "",
        channels_in: int = CHANNELS,
    ) -> None:
        numbers = range(1, blocks + 1)
        self.before = [f"ResNet_{i}{suffix}" for i in numbers]
        self.filters = [f"Order_Aware_Filter_Block_{i}{suffix}" for i in numbers]
        self.after = [f"ResNet_{blocks + i}{suffix}" for i in numbers]
        self.pool, self.unpool = f"OANET_pool{suffix}", f"OANET_unpool{suffix}"
        self.last = f"layer_last{suffix}"
        for i, name in enumerate(self.before):
            network.add_module(name, PreActivationBlock(CHANNELS if i else channels_in, CHANNELS))
        network.add_module(self.pool, Assignment(clusters))
        for name in self.filters:
            network.add_module(name, OrderAwareFilter(clusters))
        network.add_module(self.unpool, Assignment(clusters))
        for i, name in enumerate(self.after):
            network.add_module(name, PreActivationBlock(CHANNELS if i else 2 * CHANNELS, CHANNELS))
        network.add_module(self.last, nn.Conv2d(CHANNELS, 1, 1))

    def __call__(self, network: nn.Module, features: Tensor) -> Tensor:
        """Logits (B, N) from embedded correspondences (B, C, N, 1)."""
        for name in self.before:
            features = network.get_submodule(name)(features)
        shares = network.get_submodule(self.pool)(features).softmax(dim=2)  # of a cluster: over the points
        clusters = (features.squeeze(3) @ shares.mT).unsqueeze(3)
        for name in self.filters:
            clusters = network.get_submodule(name)(clusters)
        shares = network.get_submodule(self.unpool)(features).softmax(dim=1)  # of a point: over the clusters
        spread = (clusters.squeeze(3) @ shares).unsqueeze(3)
        features = torch.cat([features, spread], dim=1)
        for name in self.after:
            features = network.get_submodule(name)(features)
        return logits_of(network.get_submodule(self.last)(features))


def stage_parameters(shapes: Mapping[str, tuple[int, ...]], suffix: str = "") -> dict[str, Any]:
    """Width, blocks and clusters that the shapes of a state dict tell."""
    filters = [f"Order_Aware_Filter_Block_{i}{suffix}.Conv2d_1.weight" for i in range(1, len(shapes))]
    return {
        "width": shapes[f"layer_1{suffix}.Conv2d.weight"][3],
        "blocks": sum(name in shapes for name in filters),
        "clusters": shapes[f"OANET_pool{suffix}.Conv2d.weight"][0],
    }
