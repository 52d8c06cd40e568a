"""The head that TransPose trains with a contrastive loss: the decoder's input -> one vector an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.blocks import convolution, group_norm


class ProjectionHead(Network):
    """Features (B, 512 or 128, h, w) of an encoder -> embeddings (B, `dimension`), not normalised."""

    input_names = ("features",)
    output_names = ("embedding",)

    def __init__(self, dimension: int = 2048, tiny: bool = False) -> None:
        super().__init__()
        self.channels = 128 if tiny else 512
        for i in range(1, 4):
            self.add_module(f"conv{i}", convolution(self.channels, self.channels, stride=2))
            self.add_module(f"norm{i}", group_norm(self.channels))
        self.conv4 = convolution(self.channels, dimension, 1)
        self.norm4 = group_norm(dimension)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"dimension": 256, "tiny": True}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(batch, self.channels, 8, 10, generator=generator),)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        x = features
        for i in range(1, 5):
            x = torch.relu(getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
        return (x.mean(dim=(2, 3)),)
