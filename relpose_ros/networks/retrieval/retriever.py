"""What the retrieval networks share: images in, on a scale that docs/networks/retrieval.md gives."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from relpose_ros.networks.base import Network
from relpose_ros.networks.retrieval.vgg16 import SMALL_CHANNELS

COLOURS = ("caffe", "imagenet")
"""Scales of the input: RGB from 0 to 255 less Caffe's mean; or ImageNet's mean and deviation on 0 to 1."""


class Retriever(Network):
    """A network from images to global descriptors.

    `colours` is how it is fed, one of COLOURS; `image_size` (height, width) px what it was published for,
    other multiples of 32 do as well. Trunks are in `base_model`, whose `train_from(layers)` freezes
    what comes before `layers`.
    """

    input_names: ClassVar[tuple[str, ...]] = ("images",)
    colours: ClassVar[str] = "caffe"
    image_size: ClassVar[tuple[int, int]] = (480, 640)

    @property
    def descriptor_output(self) -> str:
        """The output that is the global descriptor: what recipes train and robots use."""
        return self.output_names[-1]

    @property
    def descriptor_size(self) -> int:
        """Values of that descriptor."""
        raise NotImplementedError

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"channels": list(SMALL_CHANNELS), "clusters": 4}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Noise (batch, 3, 64, 96) of the contrast of pictures minus their mean, on the scale 0-255."""
        return (50 * torch.randn(batch, 3, 64, 96, generator=generator),)


def full_precision(values: Tensor) -> Tensor:
    """What autocast made bfloat16 or half as float32; wider types as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
