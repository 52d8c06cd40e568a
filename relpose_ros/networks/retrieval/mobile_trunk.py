"""A trunk that a robot can run: MobileNetV4-Conv-Small (Qin et al., ECCV 2024), under timm's names.

Convolutions, batch norm and ReLU alone: an ONNX runtime folds the norms away, and nothing depends on the
size of the image. timm's weights (Apache-2.0, `mobilenetv4_conv_small.*`) load as they are, less its head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.mobile_blocks import (
    ConvNorm,
    Inverted,
    InvertedBottleneck,
    Plain,
    convolution,
    divisible,
)

STEM = 32

STAGES: tuple[tuple[Plain | Inverted, ...], ...] = (
    (Plain(3, 2, 32), Plain(1, 1, 32)),
    (Plain(3, 2, 96), Plain(1, 1, 64)),
    (Inverted(5, 5, 2, 3, 96), *[Inverted(0, 3, 1, 2, 96)] * 4, Inverted(3, 0, 1, 4, 96)),
    (
        Inverted(3, 3, 2, 6, 128),
        Inverted(5, 5, 1, 4, 128),
        Inverted(0, 5, 1, 4, 128),
        Inverted(0, 5, 1, 3, 128),
        *[Inverted(0, 3, 1, 4, 128)] * 2,
    ),
    (Plain(1, 1, 960),),
)
"""`blocks.0` to `blocks.4`."""

WIDTHS = (1.0, 0.5, 0.35)
"""Shares of the channels that timm has names for (`mobilenetv4_conv_small`, `_050`, `_035`)."""

FIRST_TRAINED = {"full": -1, **{f"blocks.{stage}": stage for stage in range(len(STAGES))}}
"""`layers` of `train_from` -> the first stage that is trained; full: the stem as well."""


class MobileTrunk(nn.Module):
    """Images (N, 3, H, W) -> maps (N, dimension, H / stride, W / stride).

    `stages`: 5 is the whole, ending in 960 channels after a ReLU; 4 leaves out the last, and ends in 128
    without one. `stride` 16 dilates stage 3 in place of halving the map, so that a map is as large as
    VGG16's; 32 is as trained on ImageNet and several times as fast. Raises ConfigurationError otherwise.
    """

    def __init__(self, width: float = 1.0, stages: int = len(STAGES), stride: int = 16) -> None:
        super().__init__()
        if width not in WIDTHS or stages not in (4, 5) or stride not in (16, 32):
            raise ConfigurationError(
                f"expected a width of {', '.join(map(str, WIDTHS))}, 4 or 5 stages and a stride of 16 or 32, "
                f"got {width}, {stages} and {stride}"
            )
        self.frozen_until, self.statistics_frozen = -1, False
        self.conv_stem = convolution(3, STEM, 3, 2)
        self.bn1 = nn.BatchNorm2d(STEM)
        made = _Builder(width, stride)
        self.blocks = nn.Sequential(*(made.stage(stage) for stage in STAGES[:stages]))
        self.dimension = made.channels

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> feature maps (N, C, h, w)."""
        features: Tensor = self.blocks(self.bn1(self.conv_stem(images)).relu_())
        return features

    def train_from(self, layers: str) -> None:
        """Train the stages from `layers` on; those before keep their weights and their norms' statistics.

        `layers` is blocks.0 to blocks.4; full trains all. Raises ConfigurationError otherwise.
        """
        allowed = [name for name, stage in FIRST_TRAINED.items() if stage < len(self.blocks)]
        if layers not in allowed:
            raise ConfigurationError(f"expected layers to be one of {', '.join(allowed)}, got {layers!r}")
        first = FIRST_TRAINED[layers]
        self.frozen_until = first
        for module in (self.conv_stem, self.bn1):
            module.requires_grad_(first < 0)
        for stage, block in enumerate(self.blocks):
            block.requires_grad_(stage >= first)
        self.train(self.training)

    def freeze_statistics(self, frozen: bool = True) -> None:
        """Let batch norms use (and keep) the statistics they have, in training too, or let them go on.

        A tuple is a few images of one place and others like it: its own statistics tell which tuple an image
        came with, and are not those of a test. Scale and shift of the norms are trained all the same. It is
        right for random weights, too: statistics 0 and 1 leave He's first weights their scale.
        """
        self.statistics_frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> MobileTrunk:
        """As of every module, but frozen statistics stay frozen."""
        super().train(mode)
        frozen: list[nn.Module] = [self]
        if not self.statistics_frozen:
            stages = list(self.blocks)[: max(self.frozen_until, 0)]
            frozen = [*stages, self.bn1] if self.frozen_until >= 0 else []
        for module in (m for part in frozen for m in part.modules() if isinstance(m, nn.BatchNorm2d)):
            module.eval()
        return self


class _Builder:
    """Makes stage after stage, and keeps what the next one needs to know of those before."""

    def __init__(self, width: float, stride: int) -> None:
        self.width, self.most = width, stride
        self.channels, self.stride, self.dilation = STEM, 2, 1

    def stage(self, blocks: Iterable[Plain | Inverted]) -> nn.Sequential:
        return nn.Sequential(*map(self._block, blocks))

    def _block(self, block: Plain | Inverted) -> nn.Module:
        inputs, self.channels = self.channels, divisible(block.channels * self.width)
        stride, dilation = block.stride, self.dilation
        if stride > 1 and self.stride * stride > self.most:
            self.dilation *= stride  # from the next block on, as timm's output_stride
            stride = 1
        self.stride *= stride
        if isinstance(block, Plain):
            return ConvNorm(inputs, self.channels, block.kernel, stride=stride, dilation=dilation, norm="bn1")
        return InvertedBottleneck(inputs, block, self.channels, stride, dilation)


def trunk_parameters(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> tuple[float, int]:
    """Width and stages of a trunk whose state dict has these shapes under `prefix`.

    KeyError or ValueError if it is none.
    """
    wide = shapes[f"{prefix}blocks.3.5.pw_proj.conv.weight"][0]
    width = next((w for w in WIDTHS if divisible(128 * w) == wide), None)
    if width is None:
        raise ValueError(f"no trunk of {wide} channels in stage 3")
    return width, 5 if f"{prefix}blocks.4.0.conv.weight" in shapes else 4
