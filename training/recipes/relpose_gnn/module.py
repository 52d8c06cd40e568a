"""A network over graphs of images with its loss along their edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from relpose_ros.networks.relpose_gnn.graph_network import EdgePoses, GraphNetwork
from relpose_training.data.edge_dropout import random_edges
from relpose_training.engine.recipe import TrainingModule
from relpose_training.losses.relative_pose_l1 import LearnedWeights, edge_targets, relative_pose_l1
from relpose_training.losses.relative_pose_nll import pose_twist, relative_pose_nll
from relpose_training.recipes.relpose_gnn.config import RelposeGnnConfig

Batch = Mapping[str, Tensor]


class RelposeGnnModule(TrainingModule):
    """Takes `images` (B, K, 3, H, W) and `pairs` (B, K, K, 6), the targets of all pairs of nodes.

    Logged are `loss`, and mean sizes `translation` and `rotation` of the six numbers' errors; with loss=l1
    also the log weights, otherwise `deviation`, the mean that the network says (geometric, metres and radians
    mixed).
    """

    network: GraphNetwork
    has_idle_parameters: ClassVar[bool] = True  # the absolute heads, which nobody ever trained

    def __init__(self, network: GraphNetwork, config: RelposeGnnConfig) -> None:
        super().__init__()
        self.network, self.config = network, config
        if config.loss == "l1":
            self.weights = LearnedWeights(config.translation_weight, config.rotation_weight)

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        nodes = described(self.network, batch["images"])
        edges = self.network.choose_edges(nodes)
        keep = random_edges(edges, self.config.edge_share) if self.config.edge_share < 1 else None
        found = self.network.edge_poses(nodes, edges, keep)
        target = edge_targets(batch["pairs"], edges)
        if self.config.loss == "l1":
            return self._published(found, target, keep)
        return self._likelihood(found, target, keep)

    def _published(self, found: EdgePoses, target: Tensor, keep: Tensor | None) -> dict[str, Tensor]:
        numbers = self.config.convention != "source_frame"
        loss = relative_pose_l1(
            found.relative, target, self.weights.sax, self.weights.saq, keep, compat=numbers
        )
        return {
            "loss": loss.total,
            "translation": loss.translation,
            "rotation": loss.rotation,
            "translation_weight": self.weights.sax.sum(),
            "rotation_weight": self.weights.saq.sum(),
        }

    def _likelihood(self, found: EdgePoses, target: Tensor, keep: Tensor | None) -> dict[str, Tensor]:
        assert found.log_variance is not None
        assert self.config.loss != "l1"
        kind, beta = self.config.loss, self.config.beta
        losses = relative_pose_nll(found.relative, found.log_variance, target, kind, beta)
        twist = pose_twist(found.relative, target).abs().mean(dim=-2)
        return {
            "loss": losses.mean() if keep is None else (losses * keep).sum() / keep.sum().clamp(min=1),
            "translation": twist[..., :3].mean(),
            "rotation": twist[..., 3:].mean(),
            "deviation": torch.exp(found.log_variance.float().mean() / 2),
        }

    def score(self, batch: Batch) -> dict[str, Tensor]:
        """What the network says of each graph: `EdgePoses` by name, (B, ...)."""
        return said(self.network, batch["images"])


def described(network: GraphNetwork, images: Tensor) -> Tensor:
    """Descriptors (B, K, D) of graphs of images (B, K, 3, H, W)."""
    return network.features(images.flatten(0, 1)).reshape(*images.shape[:2], -1)


def said(network: GraphNetwork, images: Tensor) -> dict[str, Tensor]:
    """`EdgePoses` of graphs of images (B, K, 3, H, W), without what the network does not say."""
    found = network.edge_poses(described(network, images))._asdict()
    return {name: value for name, value in found.items() if value is not None}
