"""Max pooling of VGG16's last map: the descriptor without NetVLAD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional

from relpose_ros.networks.retrieval.retriever import Retriever, full_precision
from relpose_ros.networks.retrieval.vgg16 import CHANNELS, SMALL_CHANNELS, Vgg16, channels_from


class MaxPoolNet(Retriever):
    """Maxima of conv5_3 over the image, and nothing else (OpenIBL trained without --vlad).

    Tolias, Sicre, Jegou: Particular object retrieval with integral max-pooling, ICLR 2016. The
    original trains on maxima that are not normalised and tests on normalised ones; here both are
    normalised, and `compat` gives them as its training saw them.
    """

    output_names: ClassVar[tuple[str, ...]] = ("pool",)

    def __init__(self, channels: Sequence[int] = CHANNELS, compat: bool = False) -> None:
        super().__init__()
        self.compat = compat
        self.base_model = Vgg16(channels)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"channels": list(SMALL_CHANNELS)}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return {"channels": channels_from(shapes, "base_model.base")}

    @property
    def descriptor_size(self) -> int:
        return self.base_model.dimension

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) -> maxima (N, D), norm 1."""
        pool = full_precision(self.base_model(images)).amax(dim=(2, 3))
        return (pool if self.compat else functional.normalize(pool, dim=1),)
