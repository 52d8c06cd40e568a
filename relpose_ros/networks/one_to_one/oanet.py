"""OANet without iteration (Zhang et al., ICCV 2019)."""

from __future__ import annotations

from torch import Tensor

from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork, Embedding
from relpose_ros.networks.one_to_one.order_aware import CHANNELS, OrderAwareStage


class OANet(CorrespondenceNetwork):
    """One stage of six residual blocks, six order-aware filters and six residual blocks."""

    def __init__(self, width: int = 6) -> None:
        super().__init__(width)
        self.layer_1 = Embedding(width, CHANNELS)
        self.stage = OrderAwareStage(self, blocks=6)

    def forward(self, correspondences: Tensor) -> tuple[Tensor]:
        """Logits (B, N) of correspondences (B, N, width)."""
        self.check(correspondences)
        return (self.stage(self, self.layer_1(correspondences)),)
