"""NetVLAD on VGG16 with the last ReLU, under the names of pytorch-NetVlad checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from relpose_ros.networks.retrieval.netvlad import CLUSTERS, NetVlad, normalised
from relpose_ros.networks.retrieval.retriever import Retriever
from relpose_ros.networks.retrieval.vgg16 import CHANNELS, channels_from, conv5_3


class NetVladRelu(Retriever):
    """The pytorch-NetVlad layout that RelPose-GNN retrieves with: conv5_3 with its ReLU, no whitening.

    State-dict names `encoder.N...` and `pool...`; 28 tensors.
    """

    output_names: ClassVar[tuple[str, ...]] = ("vlad",)
    colours: ClassVar[str] = "imagenet"
    image_size: ClassVar[tuple[int, int]] = (192, 256)

    def __init__(self, channels: Sequence[int] = CHANNELS, clusters: int = CLUSTERS) -> None:
        super().__init__()
        self.encoder = conv5_3(channels, last_relu=True)
        self.pool = NetVlad(int(channels[-1]), clusters)

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return {"channels": channels_from(shapes, "encoder"), "clusters": shapes["pool.centroids"][0]}

    @property
    def descriptor_size(self) -> int:
        return self.pool.size

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W), RGB with ImageNet's mean and deviation -> VLAD (N, K * D), norm 1."""
        return (normalised(self.pool(self.encoder(images))),)
