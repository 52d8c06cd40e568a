"""What the retrieval networks share: images in, on a scale that docs/networks/retrieval.md gives."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from relpose_ros.networks.base import Network
from relpose_ros.networks.retrieval.vgg16 import SMALL_CHANNELS


class Retriever(Network):
    """A network from images to global descriptors."""

    input_names: ClassVar[tuple[str, ...]] = ("images",)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"channels": list(SMALL_CHANNELS), "clusters": 4}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Noise (batch, 3, 64, 96) of the contrast of pictures minus their mean, on the scale 0-255."""
        return (50 * torch.randn(batch, 3, 64, 96, generator=generator),)


def full_precision(values: Tensor) -> Tensor:
    """What autocast made bfloat16 or half as float32; wider types as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
