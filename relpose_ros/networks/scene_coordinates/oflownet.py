"""OFlowNet, the process of KFNet: where each cell was in the last frame, and how sure that is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.networks.scene_coordinates.blocks import in_weight_precision
from relpose_ros.networks.scene_coordinates.scoordnet import SameConvolution, normalise

FEATURES = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (32, 1))  # channels, stride
WINDOW = 8
"""Cells of the last frame that a cell may come from: WINDOW x WINDOW of them, -4 to 3 away."""

SCALE = 0.01
"""Metres of standard deviation when the network says 0."""


class SameTransposed(nn.ConvTranspose2d):
    """TensorFlow's transposed 3x3 convolution of stride 2 with padding "SAME": (h, w) -> (2h, 2w)."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x)[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]


class OflowNet(nn.Module):
    """A cost volume of two feature maps -> flow and transition uncertainty, by one small U-Net a cell."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for i, (channels, stride) in enumerate(FEATURES, 1):
            self.add_module(f"feat{i}", SameConvolution(inputs, channels, 3, stride))
            inputs = channels
        self.conv0 = SameConvolution(32, 32, 3)
        for level, (before, after) in enumerate(((32, 32), (32, 64), (64, 128)), 1):
            self.add_module(f"conv{level}a", SameConvolution(before, after, 3, 2))
            self.add_module(f"conv{level}b", SameConvolution(after, after, 3))
        for level, (before, up, skip, after) in {
            2: (128, 64, 64, 64),
            1: (64, 32, 32, 32),
            0: (32, 16, 32, 16),
        }.items():
            self.add_module(f"upconv{level}", SameTransposed(before, up, 3, 2))
            self.add_module(f"conv{6 - level}", SameConvolution(up + skip, after, 3))
        self.prediction = SameConvolution(16, 1, 3)
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, 32)
        self.uncertainty = nn.Linear(32, 1)

    def features(self, image: Tensor) -> Tensor:
        """RGB images (B, 3, H, W) in 0..255 -> features of norm 1 (B, 32, h, w)."""
        x = normalise(image)
        for i in range(1, len(FEATURES)):
            x = torch.relu(getattr(self, f"feat{i}")(x))
        x = getattr(self, f"feat{len(FEATURES)}")(x).to(image.dtype)
        return functional.normalize(x, dim=1, eps=1e-6)

    def forward(self, features: Tensor, last_features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 32, h, w) of this and of the last frame -> flow (B, 2, h, w) and scale (B, 1, h, w).

        A cell at (x, y) was at (x, y) + flow, in cells; the scale is a standard deviation in metres.
        """
        batch, _, height, width = features.shape
        bottom, heat = self._unet(cost_volume(features, last_features))
        weight = torch.softmax(heat.to(features.dtype).flatten(1), dim=1).unflatten(1, (WINDOW, WINDOW))
        steps = torch.arange(WINDOW, dtype=weight.dtype, device=weight.device) - WINDOW // 2
        flow = torch.stack([(weight.sum(1) * steps).sum(1), (weight.sum(2) * steps).sum(1)], dim=1)
        x = torch.relu(self.fc2(torch.relu(self.fc1(bottom.flatten(1)))))
        scale = SCALE * in_weight_precision(self.uncertainty, x).exp()
        cells = (batch, height, width)
        return flow.unflatten(0, cells).permute(0, 3, 1, 2), scale.unflatten(0, cells).permute(0, 3, 1, 2)

    def _unet(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (N, 32, 8, 8) -> the innermost features (N, 128, 1, 1) and a heat map (N, 1, 8, 8)."""
        x = torch.relu(self.conv0(volume))
        skips = []
        for level in (1, 2, 3):
            skips.append(x)
            for part in "ab":
                x = torch.relu(getattr(self, f"conv{level}{part}")(x))
        bottom = x
        for level in (2, 1, 0):
            x = torch.cat([torch.relu(getattr(self, f"upconv{level}")(x)), skips[level]], dim=1)
            x = torch.relu(getattr(self, f"conv{6 - level}")(x))
        return bottom, self.prediction(x)


def cost_volume(features: Tensor, last_features: Tensor) -> Tensor:
    """Differences of each cell's features to those in its window of the last frame: (B * h * w, C, 8, 8).

    Cells outside the last frame count as zero features.
    """
    batch, channels, height, width = features.shape
    before, after = WINDOW // 2, WINDOW // 2 - 1
    padded = functional.pad(last_features, (before, after, before, after))
    windows = functional.unfold(padded, WINDOW).unflatten(1, (channels, WINDOW * WINDOW))
    volume = features.reshape(batch, channels, 1, height * width) - windows
    per_cell: Tensor = volume.permute(0, 3, 1, 2).reshape(-1, channels, WINDOW, WINDOW)
    return per_cell
