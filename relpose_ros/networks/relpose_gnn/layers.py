"""Message passing on the graph of a query and its references.

A linear map of a concatenation is the sum of the maps of its parts. Computed that way the parts that
belong to nodes are multiplied once for each of the few nodes, not once for each of the many edges.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from relpose_ros.networks.relpose_gnn.edges import at_ends, incoming_mean


def two_layers(inputs: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, Linear."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs))


class ChannelAttention(nn.Module):
    """Each vector (..., D) attends over its own D / 8 reduced channels; the result is added to it."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        reduced = dimension // 8
        self.g = nn.Linear(dimension, reduced)
        self.theta = nn.Linear(dimension, reduced)
        self.phi = nn.Linear(dimension, reduced)
        self.W = nn.Linear(reduced, dimension)

    def forward(self, x: Tensor) -> Tensor:
        """A_pq = softmax over q of phi_p theta_q; x + W (A g)."""
        attention = torch.softmax(self.phi(x)[..., :, None] * self.theta(x)[..., None, :], dim=-1)
        attended = (attention @ self.g(x)[..., :, None])[..., 0]
        added: Tensor = self.W(attended)
        return x + added


class EdgeModel(nn.Module):
    """New edge features from the edge's source, its target and itself."""

    def __init__(self, node: int, edge: int) -> None:
        super().__init__()
        self.edge_mlp = two_layers(2 * node + edge, edge)

    def forward(self, x: Tensor, e: Tensor, edges: Tensor) -> Tensor:
        """Nodes (B, K, node), edge features (B, E, edge), edges (B, 2, E) -> (B, E, edge)."""
        first, rest = _first_and_rest(self.edge_mlp)
        source, target, own = first.weight.split([x.shape[-1], x.shape[-1], e.shape[-1]], dim=1)
        hidden = at_ends(linear(x, source), edges[:, 0]) + at_ends(linear(x, target), edges[:, 1])
        updated: Tensor = rest(hidden + linear(e, own, first.bias))
        return updated


class MessageLayer(nn.Module):
    """One round: edges see their ends, messages leave their source, nodes take the mean that arrives."""

    def __init__(self, node: int, edge: int, output: int) -> None:
        super().__init__()
        self.mlp = two_layers(node + edge, output)
        self.mlp_updating = two_layers(node + output, output)
        self.edge_model = EdgeModel(node, edge)
        self.att = ChannelAttention(output)

    def messages(self, x: Tensor, e: Tensor, edges: Tensor) -> Tensor:
        """Messages (B, E, output) from the source and the updated edge (B, E, edge), before the attention."""
        first, rest = _first_and_rest(self.mlp)
        source, own = first.weight.split([x.shape[-1], e.shape[-1]], dim=1)
        hidden = at_ends(linear(x, source), edges[:, 0]) + linear(e, own, first.bias)
        found: Tensor = rest(hidden)
        return found

    def forward(
        self, x: Tensor, e: Tensor, edges: Tensor, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Nodes (B, K, node), edge features (B, E, edge) -> (B, K, output), (B, E, edge), before a ReLU.

        `edges` (B, 2, E); `keep` (B, E) bool leaves edges out of the mean.
        """
        e = self.edge_model(x, e, edges)
        message = self.att(self.messages(x, e, edges))
        arrived = incoming_mean(message, edges[:, 1], x.shape[1], keep)
        return self.mlp_updating(torch.cat([x, arrived], dim=-1)), e


class TwoEndedLayer(nn.Module):
    """The authors' other layer: messages see both ends, and their mean replaces the node.

    No published checkpoint has it; it is here for comparisons with `MessageLayer`.
    """

    def __init__(self, node: int, edge: int, output: int) -> None:
        super().__init__()
        self.mlp = two_layers(2 * node + edge, output)
        self.edge_model = EdgeModel(node, edge)
        self.att = ChannelAttention(output)

    def forward(
        self, x: Tensor, e: Tensor, edges: Tensor, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `MessageLayer.forward`."""
        e = self.edge_model(x, e, edges)
        ends = [at_ends(x, edges[:, 1]), at_ends(x, edges[:, 0]), e]
        message = self.att(self.mlp(torch.cat(ends, dim=-1)))
        return incoming_mean(message, edges[:, 1], x.shape[1], keep), e


def _first_and_rest(mlp: nn.Sequential) -> tuple[nn.Linear, nn.Sequential]:
    first, *rest = mlp
    assert isinstance(first, nn.Linear)
    return first, nn.Sequential(*rest)
