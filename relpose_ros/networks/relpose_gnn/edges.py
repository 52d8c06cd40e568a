"""Which nodes of a graph talk to which. Edges are (B, 2, E): row 0 the sources, row 1 the targets.

Indices count within a graph, so that a graph is the same in every batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fully_connected(nodes: int) -> list[tuple[int, int]]:
    """All ordered pairs (source, target) in the order of the published graphs.

    For each offset k = 1, 2, ... the pairs (i, i + k); then all of them again with the ends swapped.
    """
    ahead = [(i, i + offset) for offset in range(1, nodes) for i in range(nodes - offset)]
    return ahead + [(target, source) for source, target in ahead]


def full_edges(batch: int, nodes: int, device: torch.device) -> Tensor:
    """`fully_connected` for each graph of a batch: (B, 2, nodes * (nodes - 1)) int64."""
    pairs = torch.tensor(fully_connected(nodes), dtype=torch.int64, device=device).reshape(-1, 2)
    return pairs.T[None].expand(batch, -1, -1)


def nearest_edges(nodes: Tensor, neighbours: int) -> Tensor:
    """Edges from the nearest nodes in feature space, (B, K, D) -> (B, 2, K * k), k = min(neighbours, K - 1).

    Sorted by target, then by Euclidean distance; no node is its own neighbour. The choice has no gradient.
    """
    batch, count, _ = nodes.shape
    k = min(neighbours, count - 1)
    # Differences, in float32 at least: |a|^2 + |b|^2 - 2ab loses the digits that order near neighbours.
    with torch.autocast(nodes.device.type, enabled=False):
        x = nodes.detach()
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        squared = (x[:, :, None] - x[:, None]).square().sum(dim=-1)
        itself = torch.eye(count, dtype=torch.bool, device=x.device)
        sources = squared.masked_fill(itself, torch.inf).topk(k, dim=-1, largest=False).indices
    targets = torch.arange(count, device=nodes.device)[None, :, None].expand(batch, -1, k)
    return torch.stack([sources.flatten(1), targets.flatten(1)], dim=1)


def at_ends(nodes: Tensor, ends: Tensor) -> Tensor:
    """Node features (B, K, D) at one end of each edge, `ends` (B, E): (B, E, D)."""
    return nodes.gather(1, ends[:, :, None].expand(-1, -1, nodes.shape[-1]))


def incoming_mean(messages: Tensor, targets: Tensor, nodes: int, keep: Tensor | None = None) -> Tensor:
    """Mean of the messages (B, E, D) that arrive at each node: (B, K, D), 0 where none does.

    `keep` (B, E) bool leaves edges out, as if they were not there.
    """
    arrives = targets[:, None] == torch.arange(nodes, device=targets.device)[None, :, None]
    if keep is not None:
        arrives = arrives & keep[:, None]
    weights = arrives.to(messages.dtype)
    return (weights @ messages) / weights.sum(dim=2, keepdim=True).clamp(min=1)
