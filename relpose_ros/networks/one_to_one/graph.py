"""Graphs of nearest neighbours in feature space (Wang et al., DGCNN, TOG 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from relpose_ros.errors import ConfigurationError


def nearest_neighbours(features: Tensor, count: int) -> Tensor:
    """Indices (B, N, count) of the nearest in features (B, C, N), nearest first; a point is its own.

    Distances in float32 at least, also under autocast. Raises ConfigurationError when N < count.
    """
    if features.shape[2] < count:
        raise ConfigurationError(
            f"this network needs at least {count} correspondences; got {features.shape[2]}; "
            "match more keypoints, or repeat correspondences"
        )
    with torch.autocast(features.device.type, enabled=False):
        points = features.detach().to(torch.promote_types(features.dtype, torch.float32))
        squared = points.square().sum(dim=1)
        distance = squared.unsqueeze(2) - 2 * points.mT @ points + squared.unsqueeze(1)
        return distance.topk(count, dim=2, largest=False).indices


def graph_features(features: Tensor, count: int) -> Tensor:
    """Edges (B, 2C, N, count) of features (B, C, N, 1): own features, and own minus the neighbour's."""
    points = features.squeeze(3)
    indices = nearest_neighbours(points, count)
    flat = indices.flatten(1).unsqueeze(1).expand(-1, points.shape[1], -1)
    neighbours = points.gather(2, flat).unflatten(2, indices.shape[1:])
    own = features.expand_as(neighbours)
    return torch.cat([own, own - neighbours], dim=1)
