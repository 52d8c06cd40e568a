"""A small network of one scene, for robots: weight-free descriptors, then points said cell by cell."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.oriented_gradients import CHANNELS, OrientedGradients

DETAIL = 128
"""Channels in which the place within an anchor's surroundings is found."""


class Refined(NamedTuple):
    """Points (..., 3), metres, and the scale b (...) of their Laplace density, metres."""

    points: Tensor
    scale: Tensor


class CellRegressor(Network):
    """Grey images (B, 1, H, W), values 0 to 1 -> map (B, 4, ceil(H/8), ceil(W/8)): coordinates and deviation.

    Each cell is assigned to one of `anchors` points spread over the scene, and its place is said relative to
    that (as hierarchical scene coordinates do: Li et al., CVPR 2020): an ambiguous cell is then torn between
    anchors, and its deviation says so, rather than lying at their mean. What the image is described by is
    fixed (`OrientedGradients`), so that a training computes it once.

    Buffers that training fits: `descriptor_mean` (320,), `projection` (components, 320), `anchor_points`
    (anchors, 3), and `unit`, the usual distance from a point to its anchor, metres.
    """

    input_names = ("image",)
    output_names = ("map",)
    descriptor_mean: Tensor
    projection: Tensor
    anchor_points: Tensor
    unit: Tensor

    def __init__(self, anchors: int = 256, width: int = 256, blocks: int = 2, components: int = 160) -> None:
        super().__init__()
        self.describe = OrientedGradients()
        self.register_buffer("descriptor_mean", torch.zeros(CHANNELS))
        self.register_buffer("projection", torch.eye(components, CHANNELS))
        self.register_buffer("anchor_points", torch.zeros(anchors, 3))
        self.register_buffer("unit", torch.ones(()))
        self.enter = nn.Linear(components, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.leave = nn.LayerNorm(width)
        self.choose = nn.Linear(width, anchors)
        self.look = nn.Linear(width, DETAIL)
        self.anchor_detail = nn.Embedding(anchors, DETAIL)
        self.place = nn.Linear(DETAIL, 3)
        self.spread = nn.Linear(DETAIL, 1)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"anchors": 8, "width": 16, "blocks": 1, "components": 12}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(batch, 1, 48, 72, generator=generator),)

    def set_scene(self, mean: Tensor, projection: Tensor, anchors: Tensor, unit: float) -> None:
        """Fill the buffers that are fitted to a scene before training."""
        self.descriptor_mean.copy_(mean)
        self.projection.copy_(projection)
        self.anchor_points.copy_(anchors)
        self.unit.fill_(unit)

    def understand(self, descriptors: Tensor, noise: float = 0.0) -> Tensor:
        """Descriptors (..., 320) -> what is known of their cells (..., width).

        `noise`: deviation of what is added to their components, which have a deviation of one.
        """
        x = (descriptors - self.descriptor_mean) @ self.projection.T
        if noise:
            x = x + noise * torch.randn_like(x)
        x = torch.relu(self.enter(x))
        for block in self.blocks:
            x = block(x)
        return torch.relu(self.leave(x))

    def refine(self, known: Tensor, anchor: Tensor) -> Refined:
        """Where the cells (..., width) lie if these anchors (...) are theirs."""
        x = torch.relu(self.look(known) + self.anchor_detail(anchor))
        points = self.anchor_points[anchor] + 4 * self.unit * self.place(x)
        return Refined(points, self.unit * self.spread(x)[..., 0].clamp(-6, 6).exp())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        descriptors = self.describe(image)
        rows, columns = descriptors.shape[2:]
        known = self.understand(descriptors.flatten(2).transpose(1, 2))
        exact = self.anchor_points.dtype  # of the weights, not of autocast
        choice = self.choose(known).to(exact)
        best = choice.argmax(dim=-1)
        points, scale = self.refine(known, best)
        points = points.to(exact)
        deviation = (scale_variance(scale.to(exact)) + self._torn(choice.softmax(-1), best, points)).sqrt()
        said = torch.cat([points, deviation[..., None]], dim=-1)
        return (said.transpose(1, 2).unflatten(2, (rows, columns)),)

    def _torn(self, chances: Tensor, best: Tensor, points: Tensor) -> Tensor:
        """Variance (B, N) an axis that the other anchors bring: sum p |anchor - point|^2 / 3."""
        mine = nn.functional.one_hot(best, chances.shape[-1]).to(chances.dtype)
        others = chances * (1 - mine)
        anchors = self.anchor_points.to(chances.dtype)
        square = others @ anchors.square().sum(1)
        middle = (others @ anchors * points).sum(-1)
        away = square - 2 * middle + others.sum(-1) * points.square().sum(-1)
        return away.clamp(min=0) / 3


def scale_variance(scale: Tensor) -> Tensor:
    """Variance along one axis of the density exp(-|d| / b) in three dimensions: 4 b^2."""
    return 4 * scale.square()


def laplace_nll(distance: Tensor, scale: Tensor) -> Tensor:
    """-ln of exp(-d / b) / (8 pi b^3), for distances d and scales b of one shape, metres."""
    return 3 * scale.log() + distance / scale + math.log(8 * math.pi)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, width)
        self.narrow = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.narrow(torch.relu(self.widen(self.norm(x))))
        return x + added
