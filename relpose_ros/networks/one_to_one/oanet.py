"""OANet without iteration (Zhang et al., ICCV 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork, Embedding
from relpose_ros.networks.one_to_one.order_aware import CHANNELS, CLUSTERS, OrderAwareStage, stage_parameters


class OANet(CorrespondenceNetwork):
    """One stage: `blocks` residual blocks, as many order-aware filters, as many residual blocks."""

    def __init__(self, width: int = 6, blocks: int = 6, clusters: int = CLUSTERS) -> None:
        super().__init__(width)
        self.blocks = blocks
        self.layer_1 = Embedding(width, CHANNELS)
        self.stage = OrderAwareStage(self, blocks, clusters)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"blocks": 1, "clusters": 16}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return stage_parameters(shapes)

    def forward(self, correspondences: Tensor) -> tuple[Tensor]:
        """Logits (B, N) of correspondences (B, N, width)."""
        self.check(correspondences)
        return (self.stage(self, self.layer_1(correspondences)),)
