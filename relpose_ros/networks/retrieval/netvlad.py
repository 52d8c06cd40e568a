"""NetVLAD: soft assignment of local descriptors to clusters, residuals summed per cluster.

Arandjelovic et al., NetVLAD: CNN architecture for weakly supervised place recognition, CVPR 2016.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.errors import ConfigurationError

CLUSTERS = 64
"""Clusters of every published model."""

INITIAL_ALPHA = 30.0
"""Sharpness of the assignment before clusters are known, about what clusters of VGG16 features give."""


class NetVlad(nn.Module):
    """(N, D, H, W) -> un-normalised VLAD (N, K, D); `normalised` makes a descriptor of it.

    The centroids and the weights of the assignment are trained apart from each other. Always computed
    in float32, also under autocast: the assignment is the softmax of a steep function.
    """

    def __init__(self, dimension: int = 512, clusters: int = CLUSTERS, normalise_input: bool = True) -> None:
        super().__init__()
        self.normalise_input = normalise_input
        unit = functional.normalize(torch.randn(clusters, dimension), dim=1)
        self.centroids = nn.Parameter(unit)
        self.conv = nn.Conv2d(dimension, clusters, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(INITIAL_ALPHA * unit[:, :, None, None])

    @property
    def size(self) -> int:
        """Values of the descriptor, K * D."""
        return self.centroids.numel()

    def forward(self, features: Tensor) -> Tensor:
        """Sum over pixels p of a_kp (x_p - c_k), (N, K, D), equation 4 of the paper."""
        with torch.autocast(features.device.type, enabled=False):
            local, assignment = self.assign(features)
            return self.aggregate(local.flatten(2), assignment.flatten(2))

    def finish(self, sums: Tensor) -> Tensor:
        """VLADs (..., K, D), of an image or of a part of it -> descriptors (..., K * D), norm 1."""
        return normalised(sums)

    def assign(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors (N, D, H, W), L2-normalised, and their soft assignment (N, K, H, W), summing to 1."""
        local = features.to(self.centroids.dtype)
        if self.normalise_input:
            local = functional.normalize(local, dim=1)
        return local, torch.softmax(self.conv(local), dim=1)

    def aggregate(self, local: Tensor, assignment: Tensor) -> Tensor:
        """Residuals (N, K, D) of descriptors (N, D, P) weighted by an assignment (N, K, P)."""
        total = assignment @ local.transpose(1, 2)
        return total - assignment.sum(dim=2)[:, :, None] * self.centroids

    @torch.no_grad()
    def init_from_clusters(self, centres: Tensor, descriptors: Tensor) -> float:
        """Start from cluster centres (K, D) and the descriptors (M, D) that were clustered; returns alpha.

        With u = c / |c|, alpha = ln(100) / m makes the best cluster 100 times as likely as the second,
        where m is the mean over the descriptors of the best u.x minus the second-best; the assignment
        weights are alpha u and the centroids c themselves. Raises ConfigurationError for other shapes,
        a centre of norm 0, or descriptors that tell no clusters apart.
        """
        centres, descriptors = centres.double(), descriptors.double()
        expected = tuple(self.centroids.shape)
        if tuple(centres.shape) != expected or descriptors.ndim != 2 or descriptors.shape[1] != expected[1]:
            raise ConfigurationError(
                f"expected centres {expected} and descriptors (M, {expected[1]}), got {tuple(centres.shape)} "
                f"and {tuple(descriptors.shape)}; cluster features of the same trunk into {expected[0]}"
            )
        unit = centres / centres.norm(dim=1, keepdim=True)
        best = torch.topk(descriptors @ unit.T, min(2, expected[0]), dim=1).values
        margin = float((best[:, 0] - best[:, -1]).mean())
        if not margin > 0 or not torch.isfinite(unit).all():
            raise ConfigurationError(
                f"expected non-zero centres that descriptors are nearer to one of, got a mean margin of "
                f"{margin:g} with {len(descriptors)} descriptors and {expected[0]} centres; cluster again"
            )
        alpha = math.log(100) / margin
        self.centroids.copy_(centres)
        self.conv.weight.copy_((alpha * unit)[:, :, None, None])
        return alpha


def normalised(vlad: Tensor) -> Tensor:
    """VLAD (..., K, D) -> descriptor (..., K * D): each cluster to norm 1, cluster-major, then the whole."""
    return functional.normalize(functional.normalize(vlad, dim=-1).flatten(-2), dim=-1)
