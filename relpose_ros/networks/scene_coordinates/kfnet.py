"""KFNet (Zhou et al., CVPR 2020): scene coordinates of a video, filtered."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.kalman import fuse
from relpose_ros.networks.scene_coordinates.oflownet import OflowNet
from relpose_ros.networks.scene_coordinates.scoordnet import ScoordNet

UNSEEN_SCALE = 1e6
"""Standard deviation (m) of the prediction in cells that the last frame did not see."""


class KfNet(Network):
    """One step of the filter: an image (B, 3, H, W) in 0..255 and the state after the last one -> the next.

    The state: features (B, 32, h, w), coordinates (B, 3, h, w) and standard deviations (B, 1, h, w). What
    comes out is that state again, then measurement and prediction, each coordinates and deviations. Begin
    with `first`. `compat` keeps what the original does to cells that flow in from outside the last frame:
    it predicts coordinate (0, 0, 0) there, and is sure of it to a centimetre.
    """

    input_names = ("image", "last_features", "last_coordinates", "last_scale")
    output_names = (
        "features",
        "scene_coordinates",
        "scale",
        "measured_coordinates",
        "measured_scale",
        "predicted_coordinates",
        "predicted_scale",
    )

    def __init__(self, compat: bool = False, width: int = 1) -> None:
        super().__init__()
        self.ScoreNet = ScoordNet(width)
        self.Temporal = OflowNet()
        self.compat = compat

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"width": 8}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        image = 255 * torch.rand(batch, 3, 48, 64, generator=generator)
        features = functional.normalize(torch.randn(batch, 32, 6, 8, generator=generator), dim=1)
        coordinates = torch.randn(batch, 3, 6, 8, generator=generator)
        return image, features, coordinates, 0.1 + torch.rand(batch, 1, 6, 8, generator=generator)

    def first(self, image: Tensor) -> tuple[Tensor, ...]:
        """The state after the first image of a video: its measurement."""
        return (self.Temporal.features(image), *self.ScoreNet(image))

    def forward(
        self, image: Tensor, last_features: Tensor, last_coordinates: Tensor, last_scale: Tensor
    ) -> tuple[Tensor, ...]:
        measured = self.ScoreNet(image)
        features = self.Temporal.features(image)
        flow, flow_scale = self.Temporal(features, last_features)
        predicted = self.predict(flow, flow_scale, last_coordinates, last_scale)
        return (features, *fuse(*predicted, *measured), *measured, *predicted)

    def predict(
        self, flow: Tensor, flow_scale: Tensor, last_coordinates: Tensor, last_scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Coordinates and deviations carried along `flow` (B, 2, h, w); s^2 = s_flow^2 + s_last^2."""
        sampled, seen = sample_cells(torch.cat([last_coordinates, last_scale], dim=1), flow)
        if self.compat:
            sampled = sampled * seen
        scale = (flow_scale**2 + sampled[:, 3:] ** 2).sqrt()
        if not self.compat:
            scale = torch.where(seen, scale, torch.full_like(scale, UNSEEN_SCALE))
        return sampled[:, :3], scale


def sample_cells(cells: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear values (B, C, h, w) of `cells` at (x, y) + `flow` (B, 2, h, w), and whether that is inside.

    Outside, the value of the border is given and the mask (B, 1, h, w) is False.
    """
    _, _, height, width = cells.shape
    y, x = torch.meshgrid(
        torch.arange(height, dtype=flow.dtype, device=flow.device),
        torch.arange(width, dtype=flow.dtype, device=flow.device),
        indexing="ij",
    )
    at = torch.stack([x, y]) + flow
    last = at.new_tensor([width - 1, height - 1])[:, None, None]
    seen = ((at >= 0) & (at <= last)).all(1, keepdim=True)
    grid = (2 * at / last.clamp(min=1) - 1).permute(0, 2, 3, 1)
    values = functional.grid_sample(cells, grid, padding_mode="border", align_corners=True)
    return values, seen
