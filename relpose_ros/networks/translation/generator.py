"""CUT's generator: an image in, the same scene in the other domain's looks out.

Park, Efros, Zhang, Zhu: Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020; the
architecture is that of Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer, ECCV 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.translation.layers import (
    BlurDown,
    BlurUp,
    ResidualBlock,
    convolution,
    draw_first_weights,
)

MULTIPLE = 4
"""Sizes that the network halves twice without a rest."""
LEAST = 16
"""Pixels of the shorter side: reflected borders need so many."""


class CutGenerator(Network):
    """Two halvings, `blocks` residual blocks, two doublings; `channels` in the first layer, 4x in the blocks.

    Published: 64 channels, 9 blocks.
    """

    input_names: ClassVar[tuple[str, ...]] = ("images",)
    output_names: ClassVar[tuple[str, ...]] = ("translated",)

    def __init__(self, *, channels: int = 64, blocks: int = 9) -> None:
        super().__init__()
        if channels < 1 or blocks < 2:
            raise ConfigurationError(
                f"expected one channel and two blocks or more, got channels={channels}, blocks={blocks}"
            )
        self.channels = c = channels
        self.first = nn.Sequential(*convolution(3, c, 7), nn.ReLU())
        self.down1 = nn.Sequential(*convolution(c, 2 * c, 3), nn.ReLU(), BlurDown())
        self.down2 = nn.Sequential(*convolution(2 * c, 4 * c, 3), nn.ReLU(), BlurDown())
        self.blocks = nn.ModuleList(ResidualBlock(4 * c) for _ in range(blocks))
        self.up1 = nn.Sequential(BlurUp(), *convolution(4 * c, 2 * c, 3), nn.ReLU())
        self.up2 = nn.Sequential(BlurUp(), *convolution(2 * c, c, 3), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(c, 3, 7, padding=3, padding_mode="reflect"), nn.Tanh())
        draw_first_weights(self)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"channels": 8, "blocks": 2}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        numbers = {int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")}
        return {"channels": shapes["first.0.weight"][0], "blocks": len(numbers)}

    @property
    def feature_channels(self) -> list[int]:
        """Channels of what `encode` returns."""
        c = self.channels
        return [3, 2 * c, 4 * c, 4 * c, 4 * c]

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(batch, 3, 46, 64, generator=generator) * 2 - 1,)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """RGB images (B, 3, H, W) in [-1, 1] to images of the same size and range.

        Any size of at least 16: borders are reflected up to a multiple of 4, and cut off again.
        """
        return (self.translate(images)[0],)

    def encode(self, images: Tensor) -> list[Tensor]:
        """The five maps whose patches the loss compares: the pixels, both halvings, the first and the middle
        residual block, (B, C, H, W), (B, C, H / 2, W / 2) and so on."""
        down1 = self.down1(self.first(_padded(images)))
        down2 = self.down2(down1)
        middle = first = self.blocks[0](down2)
        for block in self.blocks[1 : self._middle + 1]:
            middle = block(middle)
        return [images, down1, down2, first, middle]

    def translate(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Translated images, and what `encode` gives of `images`, which comes for nothing."""
        maps = self.encode(images)
        x = maps[-1]
        for block in self.blocks[self._middle + 1 :]:
            x = block(x)
        height, width = images.shape[2:]
        translated: Tensor = self.last(self.up2(self.up1(x)))[:, :, :height, :width]
        return translated, maps

    @property
    def _middle(self) -> int:
        """The fifth of nine blocks."""
        return len(self.blocks) // 2


def _padded(images: Tensor) -> Tensor:
    if images.dim() != 4 or images.shape[1] != 3 or min(images.shape[2:]) < LEAST:
        raise ConfigurationError(
            f"expected images (B, 3, H, W) of at least {LEAST}x{LEAST}, got {tuple(images.shape)}"
        )
    bottom, right = (-images.shape[axis] % MULTIPLE for axis in (2, 3))
    return functional.pad(images, (0, right, 0, bottom), "reflect") if bottom or right else images
