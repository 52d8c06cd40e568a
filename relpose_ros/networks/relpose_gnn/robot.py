"""A small network over graphs of images for a CPU, which also says how sure it is of every edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.relpose_gnn.cell_trunk import GROUP, CellTrunk
from relpose_ros.networks.relpose_gnn.comparison import CellComparison, cell_centres
from relpose_ros.networks.relpose_gnn.edges import full_edges
from relpose_ros.networks.relpose_gnn.graph_network import EdgePoses, GraphNetwork, bounded_log_variance
from relpose_ros.networks.relpose_gnn.layers import EdgeModel, MessageLayer

CELLS = (8, 16)
"""Pixels that a cell may have: the larger for images whose cells would be too many to compare."""


class RobotRelPoseGNN(GraphNetwork):
    """RelPoseGNN's message passing on edges that begin as a comparison of two images' cells.

    `height` and `width` of the images in pixels, multiples of two cells; a `cell` is 8 or 16 pixels wide and
    high; `channels` of the trunk's four maps; `keys` and `values`: numbers a cell keeps to be found again by,
    and for what else is known there; `dimension` of nodes and edges; `rounds` of message passing, each with
    weights of its own, before edges look at their ends for the last time.
    A descriptor is all cells of an image, (keys + values) * height * width / cell^2 numbers.
    """

    input_names: ClassVar[tuple[str, ...]] = ("images",)
    output_names: ClassVar[tuple[str, ...]] = ("relative", "log_variance", "edges")
    centres: Tensor

    def __init__(
        self,
        *,
        height: int = 96,
        width: int = 128,
        cell: int = 8,
        channels: Sequence[int] = (16, 32, 64, 96),
        keys: int = 24,
        values: int = 8,
        dimension: int = 128,
        rounds: int = 2,
    ) -> None:
        super().__init__()
        _check(height, width, cell, channels)
        _check_graph(dimension, rounds)
        self.size, self.shape = (height, width), (height // cell, width // cell)
        self.numbers, self.rounds = keys + values, rounds
        self.descriptor_size = self.numbers * self.shape[0] * self.shape[1]
        self.trunk = CellTrunk(channels, keys, values, cell)
        self.node = nn.Linear(self.numbers, dimension)
        self.comparison = CellComparison(keys, values, dimension)
        for number in range(1, rounds + 1):
            self.add_module(f"gnn{number}", MessageLayer(dimension, dimension, dimension))
        self.last = EdgeModel(dimension, dimension)
        self.pose, self.uncertainty = _head(dimension), _head(dimension)
        self.register_buffer("centres", cell_centres(*self.shape), persistent=False)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"height": 32, "width": 48, "channels": [8, 8, 16, 16], "keys": 8, "dimension": 16}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """All but the sizes of images and cells, and how many of a cell's numbers are keys."""
        blocks = [shapes[name][0] for name in shapes if name.startswith("trunk.blocks.") and "conv1" in name]
        return {
            "channels": [shapes["trunk.stem.weight"][0], *blocks],
            "dimension": shapes["node.weight"][0],
            "rounds": sum(name.startswith("gnn") and name.endswith(".mlp.0.weight") for name in shapes),
        }

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Five images a graph."""
        return (torch.randn(batch, 5, 3, *self.size, generator=generator),)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised RGB images (B, K, 3, H, W), the query first, to poses along edges.

        Returns `relative` (B, E, 6), `log_variance` (B, E, 6) and `edges` (B, 2, E) int64 (see `EdgePoses`).
        """
        if images.dim() != 5 or images.shape[2] != 3:
            raise ConfigurationError(f"expected images (B, K, 3, H, W), got {tuple(images.shape)}")
        descriptors = self.features(images.flatten(0, 1))
        relative, edges, log_variance = self.edge_poses(descriptors.reshape(*images.shape[:2], -1))
        assert log_variance is not None
        return relative, log_variance, edges

    def features(self, images: Tensor) -> Tensor:
        """As `GraphNetwork.features`. Raises ConfigurationError for images of another size."""
        if tuple(images.shape[2:]) != self.size:
            raise ConfigurationError(
                f"expected images of {self.size[1]}x{self.size[0]} pixels, as this network was made for, got "
                f"{images.shape[3]}x{images.shape[2]}"
            )
        cells: Tensor = self.trunk(images)
        return cells.flatten(2).transpose(1, 2).flatten(1)

    def choose_edges(self, nodes: Tensor) -> Tensor:
        """All of them."""
        return full_edges(nodes.shape[0], nodes.shape[1], nodes.device)

    def edge_poses(self, nodes: Tensor, edges: Tensor | None = None, keep: Tensor | None = None) -> EdgePoses:
        edges = self.choose_edges(nodes) if edges is None else edges
        cells = nodes.unflatten(2, (-1, self.numbers))
        x, e = self.node(cells.mean(dim=2)), self.comparison(cells, edges, self.centres)
        for number in range(1, self.rounds + 1):
            dx, de = self.get_submodule(f"gnn{number}")(torch.relu(x), torch.relu(e), edges, keep)
            x, e = x + dx, e + de
        e = torch.relu(e + self.last(torch.relu(x), torch.relu(e), edges))
        return EdgePoses(self.pose(e), edges, bounded_log_variance(self.uncertainty(e)))


def _head(dimension: int) -> nn.Linear:
    """Six numbers, all 0 at first: no motion is the best guess as long as nothing is known."""
    head = nn.Linear(dimension, 6)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _check(height: int, width: int, cell: int, channels: Sequence[int]) -> None:
    if cell not in CELLS:
        raise ConfigurationError(f"expected a cell of {CELLS[0]} or {CELLS[1]} pixels, got {cell}")
    if min(height, width) < 2 * cell or height % (2 * cell) or width % (2 * cell):
        raise ConfigurationError(
            f"expected height and width to be positive multiples of {2 * cell}, got {height} and {width}"
        )
    if len(channels) != 4 or any(c < GROUP or c % GROUP for c in channels):
        raise ConfigurationError(f"expected four channels, multiples of {GROUP}, got {list(channels)}")


def _check_graph(dimension: int, rounds: int) -> None:
    if dimension < 8 or dimension % 8 or rounds < 0:
        raise ConfigurationError(
            f"expected dimension to be a positive multiple of 8 and rounds 0 or more, got {dimension} and "
            f"{rounds}"
        )
