"""Image to global descriptor: NetVLAD on VGG16, with and without whitening (OpenIBL)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.netvlad import CLUSTERS, NetVlad, normalised
from relpose_ros.networks.retrieval.retriever import Retriever, full_precision
from relpose_ros.networks.retrieval.vgg16 import CHANNELS, Vgg16, channels_from


class EmbedNet(Retriever):
    """VGG16 conv5_3 without its ReLU, and NetVLAD (OpenIBL; 28 tensors).

    `channels` are those of the five stages of VGG16, `clusters` K those of NetVLAD.
    """

    output_names: ClassVar[tuple[str, ...]] = ("pool", "vlad")

    def __init__(self, channels: Sequence[int] = CHANNELS, clusters: int = CLUSTERS) -> None:
        super().__init__()
        self.base_model = Vgg16(channels)
        self.net_vlad = NetVlad(self.base_model.dimension, clusters)

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return {
            "channels": channels_from(shapes, "base_model.base"),
            "clusters": shapes["net_vlad.centroids"][0],
        }

    @property
    def descriptor_size(self) -> int:
        return self.net_vlad.size

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) -> maxima over the map (N, D), not normalised, and VLAD (N, K * D), norm 1."""
        features = self.base_model(images)
        return full_precision(features).amax(dim=(2, 3)), normalised(self.net_vlad(features))


class EmbedNetPca(Retriever):
    """EmbedNet and a whitening layer: the model published on torch.hub (30 tensors)."""

    output_names: ClassVar[tuple[str, ...]] = ("descriptor",)

    def __init__(
        self, dimension: int = 4096, channels: Sequence[int] = CHANNELS, clusters: int = CLUSTERS
    ) -> None:
        super().__init__()
        self.base_model = Vgg16(channels)
        self.net_vlad = NetVlad(self.base_model.dimension, clusters)
        self.pca_layer = torch.nn.Conv2d(clusters * self.base_model.dimension, dimension, 1)

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"dimension": 16, **super().small_parameters()}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return {"dimension": shapes["pca_layer.bias"][0], **EmbedNet.parameters_from(shapes)}

    @classmethod
    def from_trained(cls, trained: EmbedNet, weight: Tensor, bias: Tensor) -> Self:
        """The one-step model of a trained EmbedNet (or EmbedRegionNet) and its PCA.

        `weight` (G, K * D, 1, 1) and `bias` (G,) are those of retrieval.pca.Pca.layer.
        Raises ConfigurationError if they do not fit the network.
        """
        clusters, dimension = trained.net_vlad.centroids.shape
        if tuple(weight.shape) != (len(bias), clusters * dimension, 1, 1):
            raise ConfigurationError(
                f"expected a PCA layer of shape (G, {clusters * dimension}, 1, 1) with G biases, got "
                f"{tuple(weight.shape)} and {tuple(bias.shape)}; fit the PCA to descriptors of this network"
            )
        channels = trained.base_model.channels
        with torch.device("meta"):  # every tensor is taken over: none needs a first value
            model = cls(len(bias), channels, clusters)
        state = {name: tensor.detach().clone() for name, tensor in trained.state_dict().items()}
        model.load_state_dict({**state, "pca_layer.weight": weight, "pca_layer.bias": bias}, assign=True)
        return model

    @property
    def descriptor_size(self) -> int:
        return self.pca_layer.out_channels

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) -> whitened descriptors (N, G), norm 1."""
        vlad = normalised(self.net_vlad(self.base_model(images)))
        # As a matrix: a convolution of a 1x1 map copies the weights (half a gigabyte) in every call.
        reduced = functional.linear(vlad, self.pca_layer.weight.flatten(1), self.pca_layer.bias)
        return (functional.normalize(full_precision(reduced), dim=1),)
