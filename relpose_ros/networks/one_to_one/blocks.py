"""What the classifiers of whole sets of correspondences are made of. Features are (B, C, N, 1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.one_to_one.synthetic import synthetic_correspondences


def context_norm(channels: int) -> nn.InstanceNorm2d:
    """Mean 0, variance 1 over the correspondences of a pair (Yi et al., CVPR 2018, eq. 2); no parameters."""
    return nn.InstanceNorm2d(channels, eps=1e-3)


class Embedding(nn.Module):
    """Correspondences (B, N, width) to features (B, channels, N, 1)."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.Conv2d = nn.Conv2d(1, channels, (1, width))

    def forward(self, correspondences: Tensor) -> Tensor:
        features: Tensor = self.Conv2d(correspondences.unsqueeze(1))
        return features


class PointCNBlock(nn.Module):
    """x + relu(bn(cn(conv(.)))) twice: the block of PointCN, normalised after its convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.context_norm = context_norm(channels)
        for i in (1, 2):
            self.add_module(f"Conv2d_{i}", nn.Conv2d(channels, channels, 1))
            self.add_module(f"batchnorm_{i}", nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = features
        for i in ("1", "2"):
            out = self.context_norm(self.get_submodule(f"Conv2d_{i}")(out))
            out = torch.relu(self.get_submodule(f"batchnorm_{i}")(out))
        return features + out


class PreActivationBlock(nn.Module):
    """x + conv(relu(bn(cn(.)))) twice: OANet's, normalised before; a 1x1 short cut where channels change."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.context_norm_1 = context_norm(channels_in)
        self.batchnorm_1 = nn.BatchNorm2d(channels_in)
        self.Conv2d_1 = nn.Conv2d(channels_in, channels, 1)
        self.context_norm_2 = context_norm(channels)
        self.batchnorm_2 = nn.BatchNorm2d(channels)
        self.Conv2d_2 = nn.Conv2d(channels, channels, 1)
        self.short_cut = None if channels_in == channels else nn.Conv2d(channels_in, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.Conv2d_1(torch.relu(self.batchnorm_1(self.context_norm_1(features))))
        out = self.Conv2d_2(torch.relu(self.batchnorm_2(self.context_norm_2(out))))
        return out + (features if self.short_cut is None else self.short_cut(features))


class CorrespondenceNetwork(Network):
    """A network from correspondences (B, N, width) to one logit each: the greater, the likelier an inlier.

    `width` 4: x1, y1, x2, y2 on the plane z = 1; 6: and the ratio of the two nearest descriptor distances
    and whether the match is mutual (0 or 1).
    """

    input_names: ClassVar[tuple[str, ...]] = ("correspondences",)
    output_names: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, width: int) -> None:
        super().__init__()
        if width not in (4, 6):
            raise ConfigurationError(
                f"width must be 4 (x1, y1, x2, y2) or 6 (and ratio, mutual); got {width}; "
                "choose by what the matcher gives"
            )
        self.width = width

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (synthetic_correspondences(batch, 128, generator)[..., : self.width],)

    def check(self, correspondences: Tensor) -> None:
        """Raise ConfigurationError if `correspondences` is not (B, N, width)."""
        if correspondences.dim() != 3 or correspondences.shape[-1] != self.width:
            raise ConfigurationError(
                f"expected correspondences (B, N, {self.width}); got {tuple(correspondences.shape)}; "
                "use the network that was made for this width"
            )


def logits_of(scores: Tensor) -> Tensor:
    """(B, 1, N, 1) as (B, N)."""
    return scores.flatten(1)
