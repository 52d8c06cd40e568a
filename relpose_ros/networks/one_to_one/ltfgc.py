"""Learning to find good correspondences (PointCN; Yi et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork, Embedding, PointCNBlock, logits_of

CHANNELS = 128


class LTFGC(CorrespondenceNetwork):
    """Residual blocks (12 as published) of shared perceptrons, joined by context normalisation alone."""

    def __init__(self, width: int = 6, blocks: int = 12) -> None:
        super().__init__(width)
        self.blocks = blocks
        self.layer_1 = Embedding(width, CHANNELS)
        for i in range(1, blocks + 1):
            self.add_module(f"ResNet_{i}", PointCNBlock(CHANNELS))
        self.layer_last = nn.Conv2d(CHANNELS, 1, 1)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"blocks": 2}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        blocks = sum(name.endswith(".Conv2d_1.weight") for name in shapes)
        return {"width": shapes["layer_1.Conv2d.weight"][3], "blocks": blocks}

    def forward(self, correspondences: Tensor) -> tuple[Tensor]:
        """Logits (B, N) of correspondences (B, N, width)."""
        self.check(correspondences)
        features = self.layer_1(correspondences)
        for i in range(1, self.blocks + 1):
            features = self.get_submodule(f"ResNet_{i}")(features)
        return (logits_of(self.layer_last(features)),)
