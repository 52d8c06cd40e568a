"""Learning to find good correspondences (PointCN; Yi et al., CVPR 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork, Embedding, PointCNBlock, logits_of

BLOCKS = 12
CHANNELS = 128


class LTFGC(CorrespondenceNetwork):
    """Twelve residual blocks of shared perceptrons that see each other through context normalisation."""

    def __init__(self, width: int = 6) -> None:
        super().__init__(width)
        self.layer_1 = Embedding(width, CHANNELS)
        for i in range(1, BLOCKS + 1):
            self.add_module(f"ResNet_{i}", PointCNBlock(CHANNELS))
        self.layer_last = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, correspondences: Tensor) -> tuple[Tensor]:
        """Logits (B, N) of correspondences (B, N, width)."""
        self.check(correspondences)
        features = self.layer_1(correspondences)
        for i in range(1, BLOCKS + 1):
            features = self.get_submodule(f"ResNet_{i}")(features)
        return (logits_of(self.layer_last(features)),)
