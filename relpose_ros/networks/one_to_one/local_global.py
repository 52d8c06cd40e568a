"""What CLNet is made of: features (B, 128, N, 1) of correspondences in their local and global context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.one_to_one.eight_point import inlier_weights
from relpose_ros.networks.one_to_one.graph import graph_features

CHANNELS = 128


class ContextBlock(nn.Module):
    """relu(x + bn(cn(conv(relu(bn(cn(conv(x)))))))).

    The published state dict has a `right` convolution in each block that nothing uses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.right = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1))
        self.right.requires_grad_(False)
        self.left = nn.Sequential(
            *(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.InstanceNorm2d(CHANNELS), nn.BatchNorm2d(CHANNELS)),
            nn.ReLU(),
            *(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.InstanceNorm2d(CHANNELS), nn.BatchNorm2d(CHANNELS)),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.left(features))


class AnnularConvolution(nn.Module):
    """Each correspondence's nearest in feature space, three by three from near to far, to one feature.

    Zhao et al., ICCV 2021. `neighbours`: 9 (three rings) or 6 (two).
    """

    def __init__(self, neighbours: int) -> None:
        super().__init__()
        if neighbours not in (6, 9):
            raise ConfigurationError(f"neighbours must be 6 or 9, two or three rings of 3; got {neighbours}")
        self.neighbours = neighbours
        self.conv = nn.Sequential(
            nn.Conv2d(2 * CHANNELS, CHANNELS, (1, 3), stride=(1, 3)),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, (1, neighbours // 3)),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv(graph_features(features, self.neighbours))
        return out


class WeightedGraph(nn.Module):
    """Features spread over the complete graph whose edge i-j weighs w_i w_j, and self-loops of 1.

    L = D^-1/2 (w w' + I) D^-1/2 (Zhao et al., ICCV 2021), computed in O(N) without making L.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.BatchNorm2d(CHANNELS), nn.ReLU())

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            dtype = torch.promote_types(features.dtype, torch.float32)
            weights = inlier_weights(logits.detach().to(dtype)).unsqueeze(1)  # (B, 1, N)
            scale = (weights * weights.sum(dim=2, keepdim=True) + 1).rsqrt()
            scaled = features.squeeze(3).to(dtype) * scale
            gathered = (scaled * weights).sum(dim=2, keepdim=True)
            spread = (gathered * weights + scaled) * scale
        out: Tensor = self.conv(spread.unsqueeze(3).to(features.dtype))
        return out
