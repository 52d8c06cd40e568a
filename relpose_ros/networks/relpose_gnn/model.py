"""The network: images of a query and its references -> relative poses along the edges of their graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.relpose_gnn.edges import at_ends, full_edges, nearest_edges
from relpose_ros.networks.relpose_gnn.families import family_parameters
from relpose_ros.networks.relpose_gnn.graph_network import EdgePoses, GraphNetwork, bounded_log_variance
from relpose_ros.networks.relpose_gnn.layers import MessageLayer
from relpose_ros.networks.relpose_gnn.resnet34 import ResNet34


class RelPoseGNN(GraphNetwork):
    """ResNet-34 descriptors as nodes, message passing, and a pose of six numbers at each node and edge.

    `dimension` D of nodes and edges; `weight_sets` layers gnn1, gnn2, ...; `schedule`: which of them (from 0)
    each round runs; `neighbours` k > 0: edges from the k nearest nodes in feature space, 0: all edges.
    `dropout` acts on nodes and edges before the heads, in train mode; `compat`: in eval mode too, as the
    authors' results were made. `uncertainty`: one more head says how sure each edge is (`EdgePoses`);
    published weights have none. What the six numbers mean is settled by the loss it was trained with:
    geometry/relative_vectors.py.
    """

    input_names: ClassVar[tuple[str, ...]] = ("images",)
    output_names: ClassVar[tuple[str, ...]] = ("absolute", "relative", "edges")

    def __init__(
        self,
        *,
        dimension: int = 2048,
        weight_sets: int = 1,
        schedule: Sequence[int] = (0, 0),
        neighbours: int = 0,
        dropout: float = 0.5,
        compat: bool = False,
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        _check(dimension, weight_sets, schedule, dropout)
        self.dimension, self.schedule, self.neighbours = dimension, tuple(schedule), neighbours
        self.descriptor_size, self.dropout, self.compat = dimension, dropout, compat
        self.feature_extractor = ResNet34(dimension)
        self.proj_edge = nn.Linear(2 * dimension, dimension)
        for number in range(1, weight_sets + 1):
            self.add_module(f"gnn{number}", MessageLayer(dimension, dimension, dimension))
        self.fc_xyz, self.fc_wpqr = nn.Linear(dimension, 3), nn.Linear(dimension, 3)
        self.fc_xyz_R, self.fc_wpqr_R = nn.Linear(dimension, 3), nn.Linear(dimension, 3)
        for linear in (
            *(self.feature_extractor.fc, self.proj_edge),
            *(self.fc_xyz, self.fc_wpqr, self.fc_xyz_R, self.fc_wpqr_R),
        ):
            nn.init.kaiming_normal_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.fc_uncertainty_R = nn.Linear(dimension, 6) if uncertainty else None
        if self.fc_uncertainty_R is not None:
            nn.init.zeros_(self.fc_uncertainty_R.weight)
            nn.init.zeros_(self.fc_uncertainty_R.bias)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"dimension": 64}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return family_parameters(shapes)

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Eight images a graph; 256x341 as published, or 64x85 for a small `dimension`."""
        height, width = (256, 341) if self.dimension >= 1024 else (64, 85)
        return (torch.randn(batch, 8, 3, height, width, generator=generator),)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised RGB images (B, K, 3, H, W), the query first, to poses at nodes and along edges.

        Returns `absolute` (B, K, 6), which the authors never trained; `relative` (B, E, 6); `edges`
        (B, 2, E) int64, sources and targets as indices into the K images of their graph.
        """
        if images.dim() != 5 or images.shape[2] != 3:
            raise ConfigurationError(f"expected images (B, K, 3, H, W), got {tuple(images.shape)}")
        descriptors = self.features(images.flatten(0, 1))
        return self.poses(descriptors.reshape(images.shape[0], images.shape[1], -1))

    def features(self, images: Tensor) -> Tensor:
        """Descriptors (N, D) of images (N, 3, H, W); those of a map's images can be computed once."""
        descriptors: Tensor = self.feature_extractor(images)
        return descriptors

    def poses(
        self, nodes: Tensor, edges: Tensor | None = None, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`forward` from descriptors (B, K, D); `edges` and `keep` as in `edge_poses`."""
        x, e, edges = self._dropped_out(nodes, edges, keep)
        absolute, relative = self.heads(x, e)
        return absolute, relative, edges

    def edge_poses(self, nodes: Tensor, edges: Tensor | None = None, keep: Tensor | None = None) -> EdgePoses:
        x, e, edges = self._dropped_out(nodes, edges, keep)
        sure = None if self.fc_uncertainty_R is None else bounded_log_variance(self.fc_uncertainty_R(e))
        return EdgePoses(self.heads(x, e)[1], edges, sure)

    def _dropped_out(
        self, nodes: Tensor, edges: Tensor | None, keep: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`message_passing`, nodes and edges thinned out where they are to be."""
        x, e, edges = self.message_passing(nodes, edges, keep)
        active = self.training or self.compat
        x, e = (functional.dropout(value, self.dropout, training=active) for value in (x, e))
        return x, e, edges

    def message_passing(
        self, nodes: Tensor, edges: Tensor | None = None, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes (B, K, D) and edges (B, E, D) after all rounds, and which edges they are (B, 2, E)."""
        if edges is None:
            edges = self.choose_edges(nodes)
        x, e = nodes, self.first_edges(nodes, edges)
        for index in self.schedule:
            x, e = self.get_submodule(f"gnn{index + 1}")(x, e, edges, keep)
            x, e = torch.relu(x), torch.relu(e)
        return x, e, edges

    def choose_edges(self, nodes: Tensor) -> Tensor:
        """The edges (B, 2, E) that this network gives a graph with these nodes (B, K, D)."""
        if self.neighbours > 0:
            return nearest_edges(nodes, self.neighbours)
        return full_edges(nodes.shape[0], nodes.shape[1], nodes.device)

    def first_edges(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Edge features (B, E, D) before the first round, the same for both directions of an edge."""
        lower, upper = self.proj_edge.weight.split(self.dimension, dim=1)
        low = functional.linear(nodes, lower)
        high = functional.linear(nodes, upper, self.proj_edge.bias)
        both = at_ends(low, edges.amin(dim=1)) + at_ends(high, edges.amax(dim=1))
        return torch.relu(both)

    def heads(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """Translation and rotation parts: nodes (B, K, D) -> (B, K, 6), edges (B, E, D) -> (B, E, 6)."""
        absolute = torch.cat([self.fc_xyz(x), self.fc_wpqr(x)], dim=-1)
        relative = torch.cat([self.fc_xyz_R(e), self.fc_wpqr_R(e)], dim=-1)
        return absolute, relative


def _check(dimension: int, weight_sets: int, schedule: Sequence[int], dropout: float) -> None:
    if dimension < 8 or dimension % 8:
        raise ConfigurationError(f"expected dimension to be a positive multiple of 8, got {dimension}")
    if not schedule or min(schedule) < 0 or max(schedule) >= weight_sets:
        raise ConfigurationError(
            f"expected schedule to hold indices in [0, {weight_sets}), one a round, got {list(schedule)}"
        )
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"expected dropout in [0, 1), got {dropout}")
