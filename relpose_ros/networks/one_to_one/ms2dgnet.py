"""MS2DG-Net: OANet-Iter on sparse semantic dynamic graphs (Dai et al., CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relpose_ros.networks.one_to_one.blocks import Embedding, context_norm
from relpose_ros.networks.one_to_one.eight_point import WEIGHT_FLOOR
from relpose_ros.networks.one_to_one.graph import graph_features
from relpose_ros.networks.one_to_one.oanet_iter import TwoStageNetwork, with_residuals
from relpose_ros.networks.one_to_one.order_aware import CHANNELS, CLUSTERS, OrderAwareStage

NEIGHBOURS = 20
WIDTH = 64


def edge_perceptron(channels: int) -> nn.Sequential:
    """Context norm, batch norm, relu, 1x1 convolution of edge features (B, 128, N, k)."""
    return nn.Sequential(
        context_norm(2 * WIDTH), nn.BatchNorm2d(2 * WIDTH), nn.ReLU(), nn.Conv2d(2 * WIDTH, channels, 1)
    )


class NeighbourAttention(nn.Module):
    """Features plus what each channel attends to among the edges to its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.att1 = edge_perceptron(WIDTH)
        self.attq1 = nn.Conv2d(WIDTH, WIDTH, 1)
        self.attk1 = nn.Conv2d(WIDTH, WIDTH, 1)
        self.attv1 = nn.Conv2d(WIDTH, WIDTH, 1)
        self.gamma1 = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor, edges: Tensor) -> Tensor:
        local: Tensor = self.att1(edges)
        attention = (self.attq1(local) * self.attk1(local)).softmax(dim=3)
        attended: Tensor = (attention * self.attv1(local)).sum(dim=3, keepdim=True)
        return features + self.gamma1 * attended


class EdgeMaximum(nn.Module):
    """The channel-wise maximum of a perceptron over the edges to the neighbours: (B, 128, N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = edge_perceptron(CHANNELS)

    def forward(self, edges: Tensor) -> Tensor:
        features: Tensor = self.conv(edges)
        return features.amax(dim=3, keepdim=True)


class MS2DGNet(TwoStageNetwork):
    """Two stages; the first looks at its correspondences through two graphs of 20 nearest neighbours."""

    def __init__(
        self, width: int = 6, compat: bool = False, blocks: int = 3, clusters: int = CLUSTERS
    ) -> None:
        """`compat`: as in OANetIter."""
        super().__init__(width)
        self.floor = 0.0 if compat else WEIGHT_FLOOR
        self.layer_1_stage_1 = Embedding(width, WIDTH)
        self.att1_1 = NeighbourAttention()
        self.s1_1 = EdgeMaximum()
        self.stage_1 = OrderAwareStage(self, blocks, clusters, "_stage_1", channels_in=WIDTH + CHANNELS)
        self.layer_1_stage_2 = Embedding(width + 2, CHANNELS)
        self.stage_2 = OrderAwareStage(self, blocks, clusters, "_stage_2")

    def forward(self, correspondences: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, N) of both stages; the second is the result. N >= 20, else ConfigurationError."""
        self.check(correspondences)
        features = self.layer_1_stage_1(correspondences)
        features = self.att1_1(features, graph_features(features, NEIGHBOURS))
        maximum = self.s1_1(graph_features(features, NEIGHBOURS))
        first = self.stage_1(self, torch.cat([features, maximum], dim=1))
        refined = with_residuals(correspondences, first, self.floor)
        return first, self.stage_2(self, self.layer_1_stage_2(refined))
