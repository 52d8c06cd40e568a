"""What every network over a graph of images offers: descriptors of images, then poses along edges."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from relpose_ros.networks.base import Network

LOG_VARIANCE = (-10.0, 4.0)
"""Bounds of what a network says: standard deviations of 7 mm (0.4 degrees) to 7 m."""


class EdgePoses(NamedTuple):
    """`relative` (B, E, 6) along `edges` (B, 2, E), sources and targets; what the six numbers mean is settled
    by the training (geometry/relative_vectors.py).

    `log_variance` (B, E, 6), of networks that have learnt it: logarithms of the variances of the twist that
    takes the predicted source_from_target to the true one, translation first, then rotation about the fixed
    axes of the source (`Rigid.error_to`). None of others.
    """

    relative: Tensor
    edges: Tensor
    log_variance: Tensor | None


class GraphNetwork(Network):
    """Images to descriptors, each for itself; descriptors of a graph to poses along its edges."""

    descriptor_size: int
    """Numbers D of an image's descriptor."""

    def features(self, images: Tensor) -> Tensor:
        """Descriptors (N, D) of images (N, 3, H, W); those of a map's images can be computed once."""
        raise NotImplementedError

    def choose_edges(self, nodes: Tensor) -> Tensor:
        """The edges (B, 2, E) that this network gives a graph with these descriptors (B, K, D)."""
        raise NotImplementedError

    def edge_poses(self, nodes: Tensor, edges: Tensor | None = None, keep: Tensor | None = None) -> EdgePoses:
        """From descriptors (B, K, D), the query's first.

        `edges` (B, 2, E) replaces the network's own choice; `keep` (B, E) bool drops edges from the message
        passing (edge dropout in training).
        """
        raise NotImplementedError


def bounded_log_variance(raw: Tensor) -> Tensor:
    """What a linear layer says -> log variances, nearly the same, bent to stay within `LOG_VARIANCE`."""
    low, high = LOG_VARIANCE
    raw = raw.float() if raw.dtype.itemsize < 4 else raw  # half precision has no digits left near 0
    return low + functional.softplus(high - low - functional.softplus(high - raw))
