"""ConvMatch+ (Zhang and Ma, TPAMI 2024): a filter of the motion field that stops at its discontinuities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relpose_ros.networks.one_to_one.convmatch import ConvMatch
from relpose_ros.networks.one_to_one.motion_field import CHANNELS


def _two_convolutions(channels_in: int, kernel: int) -> nn.Sequential:
    """Convolution and batch norm twice with a relu between; the border is continued, not zero."""
    layers: list[nn.Module] = []
    for size_in in (channels_in, CHANNELS):
        padding = kernel // 2
        convolution = nn.Conv2d(size_in, CHANNELS, kernel, padding=padding, padding_mode="replicate")
        layers += [convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class ChannelWeights(nn.Module):
    """A field (B, 128, H, W) with each channel weighted by what all means say (Hu et al., CVPR 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(CHANNELS, CHANNELS // 2, bias=False),
            nn.ReLU(),
            nn.Linear(CHANNELS // 2, CHANNELS, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, field: Tensor) -> Tensor:
        weights: Tensor = self.fc(field.mean(dim=(2, 3)))
        return field * weights[:, :, None, None]


class BilateralBlock(nn.Module):
    """x + fuse(relu(space(x relu(intensity(x)))), se(x)): values weigh, as in a bilateral filter."""

    def __init__(self) -> None:
        super().__init__()
        self.space_filter = _two_convolutions(CHANNELS, 3)
        self.intensity_filter = _two_convolutions(CHANNELS, 3)
        self.se_net = ChannelWeights()
        self.fuse = _two_convolutions(2 * CHANNELS, 1)

    def forward(self, field: Tensor) -> Tensor:
        weighted = field * torch.relu(self.intensity_filter(field))
        filtered = torch.relu(self.space_filter(weighted))
        fused: Tensor = self.fuse(torch.cat([filtered, self.se_net(field)], dim=1))
        return field + fused


class ConvMatchPlus(ConvMatch):
    """`ConvMatch` with `BilateralBlock`s."""

    block = BilateralBlock
