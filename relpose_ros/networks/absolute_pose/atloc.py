"""AtLoc: a pose regressed from one image, its descriptor attending to itself.

Wang, Chen, Lu, Zhao, Trigoni, Markham: AtLoc: Attention Guided Camera Localization, AAAI 2020. The block is
the one that RelPoseGNN took over (`relpose_gnn.layers.ChannelAttention`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.relpose_gnn.layers import ChannelAttention
from relpose_ros.networks.relpose_gnn.resnet34 import STAGES, ResNet34, Stages


class AtLoc(Network):
    """ResNet-34, mean over the image, a descriptor of `dimension`, attention, and two linear heads.

    `stages` of the backbone as (channels, blocks, stride); `dropout` acts before the heads, in train mode.
    The translation head speaks in units of the training poses: `mean` and `deviation` (3,), metres, turn
    that into metres. State dict: names as published.
    """

    input_names: ClassVar[tuple[str, ...]] = ("images",)
    output_names: ClassVar[tuple[str, ...]] = ("translation", "log_quaternion")
    unit_mean: Tensor
    unit_deviation: Tensor

    def __init__(
        self,
        *,
        dimension: int = 2048,
        stages: Stages = STAGES,
        dropout: float = 0.5,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        deviation: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        _check(dimension, dropout, mean, deviation)
        self.dimension, self.dropout = dimension, dropout
        self.feature_extractor = ResNet34(dimension, stages)
        self.att = ChannelAttention(dimension)
        self.fc_xyz, self.fc_wpqr = nn.Linear(dimension, 3), nn.Linear(dimension, 3)
        for linear in (self.feature_extractor.fc, self.fc_xyz, self.fc_wpqr):
            nn.init.kaiming_normal_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.register_buffer("unit_mean", torch.tensor([float(v) for v in mean]), persistent=False)
        self.register_buffer("unit_deviation", torch.tensor([float(v) for v in deviation]), persistent=False)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"dimension": 64, "stages": [[16, 1, 1], [32, 1, 2], [64, 1, 2]]}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        stages: list[tuple[int, int, int]] = []
        while f"feature_extractor.layer{len(stages) + 1}.0.conv1.weight" in shapes:
            stem = f"feature_extractor.layer{len(stages) + 1}."
            names = {name.split(".")[2] for name in shapes if name.startswith(stem)}
            stages.append((shapes[f"{stem}0.conv1.weight"][0], len(names), 2 if stages else 1))
        return {"dimension": shapes["feature_extractor.fc.weight"][0], "stages": tuple(stages)}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """256x256 as published, or 64x80 for a small `dimension`."""
        height, width = (256, 256) if self.dimension >= 1024 else (64, 80)
        return (torch.randn(batch, 3, height, width, generator=generator),)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised RGB images (B, 3, H, W) to world_from_camera of each.

        Returns the translation (B, 3) in metres, and half the rotation vector (B, 3): the logarithm of the
        unit quaternion, which `geometry.pose_vectors.quaternion_exp` turns back.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise ConfigurationError(f"expected images (B, 3, H, W), got {tuple(images.shape)}")
        attended = self.att(torch.relu(self.feature_extractor(images)))
        features = functional.dropout(attended, self.dropout, training=self.training)
        return self.fc_xyz(features) * self.unit_deviation + self.unit_mean, self.fc_wpqr(features)


def _check(dimension: int, dropout: float, mean: Sequence[float], deviation: Sequence[float]) -> None:
    if dimension < 8 or dimension % 8:
        raise ConfigurationError(f"expected dimension to be a positive multiple of 8, got {dimension}")
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"expected dropout in [0, 1), got {dropout}")
    if len(mean) != 3 or len(deviation) != 3 or not min(deviation) > 0:
        raise ConfigurationError(
            f"expected mean and deviation of three numbers each, the latter positive; got {mean}, {deviation}"
        )
