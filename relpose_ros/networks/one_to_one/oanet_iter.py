"""OANet with a second stage that sees how well the first did (OANet++ with width 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork, Embedding
from relpose_ros.networks.one_to_one.eight_point import WEIGHT_FLOOR, inlier_weights, weighted_eight_point
from relpose_ros.networks.one_to_one.epipolar import symmetric_epipolar_distance
from relpose_ros.networks.one_to_one.order_aware import CHANNELS, CLUSTERS, OrderAwareStage, stage_parameters


class TwoStageNetwork(CorrespondenceNetwork):
    """Logits of a first stage, and of a second that sees what the first made of the correspondences."""

    output_names: ClassVar[tuple[str, ...]] = ("logits_1", "logits_2")

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"blocks": 1, "clusters": 16}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return stage_parameters(shapes, "_stage_1")


class OANetIter(TwoStageNetwork):
    """Two stages (Zhang et al., ICCV 2019, sec. 3.4)."""

    def __init__(
        self, width: int = 6, compat: bool = False, blocks: int = 3, clusters: int = CLUSTERS
    ) -> None:
        """`compat`: the essential matrix between the stages without WEIGHT_FLOOR, as the original's."""
        super().__init__(width)
        self.blocks = blocks
        self.floor = 0.0 if compat else WEIGHT_FLOOR
        self.layer_1_stage_1 = Embedding(width, CHANNELS)
        self.stage_1 = OrderAwareStage(self, blocks, clusters, "_stage_1")
        self.layer_1_stage_2 = Embedding(width + 2, CHANNELS)
        self.stage_2 = OrderAwareStage(self, blocks, clusters, "_stage_2")

    def forward(self, correspondences: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, N) of both stages; the second is the result."""
        self.check(correspondences)
        first = self.stage_1(self, self.layer_1_stage_1(correspondences))
        refined = with_residuals(correspondences, first, self.floor)
        return first, self.stage_2(self, self.layer_1_stage_2(refined))


def with_residuals(correspondences: Tensor, logits: Tensor, floor: float) -> Tensor:
    """Correspondences (B, N, C) with the epipolar distance and the weight that `logits` (B, N) give: C + 2.

    `floor`: see `weighted_eight_point`. Neither carries a gradient back to the stage that made them.
    """
    weights = inlier_weights(logits.detach()).to(correspondences.dtype)
    essential = weighted_eight_point(correspondences.detach(), weights, floor=floor)
    distance = symmetric_epipolar_distance(essential, correspondences.detach())
    return torch.cat([correspondences, distance.unsqueeze(-1), weights.unsqueeze(-1)], dim=-1)
