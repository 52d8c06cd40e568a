"""The trunk of every retriever: VGG16 up to conv5_3 (Simonyan and Zisserman, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the five stages; a smaller tuple of five makes a smaller network of the same layout."""

SMALL_CHANNELS = (8, 8, 16, 16, 32)
"""A trunk for tests."""

CONVOLUTIONS = (2, 2, 3, 3, 3)
STRIDE = 16

STAGES = (0, 5, 10, 17, 24)
"""Number of the first convolution of each stage."""

FROZEN_MODULES = {"conv5": 24, "conv4": 17, "conv3": 10, "conv2": 5, "full": 0}
"""First stage that is trained -> how many of the modules before it stay as they are."""


def conv5_3(channels: Sequence[int] = CHANNELS, last_relu: bool = False) -> nn.Sequential:
    """Modules numbered as in torchvision's `features[0..28]`; with `last_relu` there is a 30th.

    (N, 3, H, W) -> (N, channels[-1], H // 16, W // 16). Raises ConfigurationError unless there are
    five channel counts.
    """
    if len(channels) != len(CONVOLUTIONS):
        raise ConfigurationError(f"expected 5 channel counts, one a stage of VGG16, got {list(channels)}")
    modules: list[nn.Module] = []
    previous = 3
    for stage, (width, count) in enumerate(zip(channels, CONVOLUTIONS, strict=True)):
        if stage:
            modules.append(nn.MaxPool2d(2))
        for _ in range(count):
            modules += [_convolution(previous, width), nn.ReLU(inplace=True)]
            previous = width
    return nn.Sequential(*(modules if last_relu else modules[:-1]))


def channels_from(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> list[int]:
    """The channels of a trunk whose state dict, under `prefix`, has these shapes; KeyError if it is none."""
    return [shapes[f"{prefix}.{first}.weight"][0] for first in STAGES]


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class Vgg16(nn.Module):
    """conv5_3 under the published names `base.0` ... `base.28`.

    Its own state dict without the prefix `base.` is that of the off-the-shelf MatConvNet file:
    `trunk.base.load_state_dict(...)` takes it as it is.
    """

    def __init__(self, channels: Sequence[int] = CHANNELS, last_relu: bool = False) -> None:
        super().__init__()
        self.base = conv5_3(channels, last_relu)
        self.channels = tuple(int(c) for c in channels)
        self.dimension = self.channels[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> feature maps (N, C, H // 16, W // 16)."""
        features: Tensor = self.base(images)
        return features

    def train_from(self, layers: str) -> None:
        """Train the stages from `layers` on and freeze those before it.

        `layers` is conv5, conv4, conv3 or conv2; full trains all. Raises ConfigurationError otherwise.
        """
        if layers not in FROZEN_MODULES:
            raise ConfigurationError(
                f"expected layers to be one of {', '.join(FROZEN_MODULES)}, got {layers!r}"
            )
        frozen = FROZEN_MODULES[layers]
        for index, module in enumerate(self.base):
            module.requires_grad_(index >= frozen)
