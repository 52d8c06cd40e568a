"""The network of DSAC* (Brachmann and Rother, TPAMI 2021): grey image -> scene coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.blocks import (
    add_branch,
    convolution,
    in_weight_precision,
    run_branch,
)
from relpose_ros.networks.scene_coordinates.deviations import UNCERTAINTIES, deviation


class DsacStar(Network):
    """Grey images (B, 1, H, W), (Y - 0.4) / 0.25 -> scene coordinates (B, 3, ceil(H/8), ceil(W/8)), metres.

    Cell (x, y) belongs to pixel (8x + 4, 8y + 4). `mean` (3,) is the centre of the scene, added to what
    the last layer says. `tiny` has 128 channels everywhere: 4 MB instead of 28. `uncertainty`, which the
    published network has not, appends to the coordinates: "isotropic" their standard deviation,
    "anisotropic" the lower factor of their covariance (6 channels, see `deviation`).
    """

    input_names = ("image",)
    output_names = ("scene_coordinates",)
    mean: Tensor

    def __init__(
        self, tiny: bool = False, mean: Sequence[float] = (0.0, 0.0, 0.0), uncertainty: str = "none"
    ) -> None:
        super().__init__()
        if uncertainty not in UNCERTAINTIES:
            raise ConfigurationError(
                f"expected an uncertainty of {sorted(UNCERTAINTIES)}, got {uncertainty!r}"
            )
        middle, last = (128, 128) if tiny else (256, 512)
        self.conv1 = convolution(1, 32)
        self.conv2 = convolution(32, 64, stride=2)
        self.conv3 = convolution(64, 128, stride=2)
        self.conv4 = convolution(128, middle, stride=2)
        add_branch(self, "res1", middle, middle, norm=False)
        add_branch(self, "res2", middle, last, norm=False)
        self.res2_skip = nn.Identity() if tiny else convolution(middle, last, 1)
        add_branch(self, "res3", last, last, kernels=(1, 1, 1), norm=False)
        self.fc1 = convolution(last, last, 1)
        self.fc2 = convolution(last, last, 1)
        self.fc3 = convolution(last, 3 + UNCERTAINTIES[uncertainty], 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"tiny": True}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randn(batch, 1, 48, 64, generator=generator),)

    def set_mean(self, mean: Sequence[float]) -> None:
        """Replace the centre of the scene."""
        self.mean.copy_(torch.as_tensor(mean, dtype=self.mean.dtype))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = torch.relu(layer(x))
        x = x + run_branch(self, "res1", x)
        x = self.res2_skip(x) + run_branch(self, "res2", x)
        x = x + run_branch(self, "res3", x)
        x = torch.relu(self.fc2(torch.relu(self.fc1(x))))
        raw = in_weight_precision(self.fc3, x)
        coordinates = raw[:, :3] + self.mean[:, None, None]
        if raw.shape[1] == 3:
            return (coordinates,)
        return (torch.cat([coordinates, deviation(raw[:, 3:])], dim=1),)
