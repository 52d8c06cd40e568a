"""SCoordNet, the measurement of KFNet: an image -> scene coordinates and their standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.blocks import in_weight_precision

LAYERS = {  # name: (channels, stride, kernel)
    "conv1a": (64, 1, 3),
    "conv1b": (64, 1, 3),
    "conv2a": (256, 2, 3),
    "conv2b": (256, 1, 3),
    "conv3a": (512, 2, 3),
    "conv3b": (512, 1, 3),
    "conv4a": (1024, 2, 3),
    "conv4b": (1024, 1, 3),
    "conv5": (512, 1, 3),
    "conv6": (256, 1, 3),
    "conv7": (128, 1, 1),
}


def normalise(image: Tensor) -> Tensor:
    """RGB in 0..255 as the released weights expect it."""
    return (image - 128) * 0.00625


class SameConvolution(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME": of an odd amount, the larger half comes after.

    At stride 2 and an even size that is 0 before and 1 after, where PyTorch's padding of 1 would shift
    the released weights by a pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = (self._padding(n) for n in x.shape[2:])
        return super().forward(functional.pad(x, (left, right, top, bottom)))

    def _padding(self, size: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class ScoordNet(Network):
    """RGB images (B, 3, H, W) in 0..255 -> coordinates (B, 3, h, w) and standard deviations (B, 1, h, w), m.

    h, w are ceil(H/8), ceil(W/8). In KFNet's checkpoint its names begin with `ScoreNet.`. `width` divides
    every channel count, for tests.
    """

    input_names = ("image",)
    output_names = ("scene_coordinates", "scale")

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        inputs = 3
        for name, (channels, stride, kernel) in LAYERS.items():
            self.add_module(name, SameConvolution(inputs, channels // width, kernel, stride))
            inputs = channels // width
        self.prediction = nn.Conv2d(inputs, 4, 1)

    @classmethod
    def small_parameters(cls) -> dict[str, int]:
        return {"width": 8}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (255 * torch.rand(batch, 3, 48, 64, generator=generator),)

    def set_mean(self, mean: Sequence[float]) -> None:
        """Let the coordinates (3,) begin around `mean`: the bias of the last layer, there is no buffer."""
        bias = self.state_dict()["prediction.bias"]
        bias[:3].copy_(torch.as_tensor(mean, dtype=bias.dtype))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = normalise(image)
        for name in LAYERS:
            x = torch.relu(getattr(self, name)(x))
        raw = in_weight_precision(self.prediction, x)
        return raw[:, :3], raw[:, 3:].exp()
