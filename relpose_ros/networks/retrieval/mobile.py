"""Image to global descriptor on a trunk that a robot can run: GeM or NetVLAD on MobileNetV4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.gem import Gem
from relpose_ros.networks.retrieval.mobile_trunk import MobileTrunk, trunk_parameters
from relpose_ros.networks.retrieval.netvlad import CLUSTERS, NetVlad
from relpose_ros.networks.retrieval.region import Aggregation, ComparesRegions, Finish, Trunk
from relpose_ros.networks.retrieval.retriever import full_precision


class MobileRetriever(ComparesRegions):
    """MobileNetV4-Conv-Small, aggregation, and linear layers if asked for.

    `aggregation`: gem pools the 960 channels of the whole trunk; netvlad sums residuals of the 128 before
    them to `clusters` centres. `dimension`: size of a linear layer that is trained with the rest; None: none.
    `whitened`: size of a PCA after all that (training/recipes/retrieval/whitening.py); None: none. `width`
    and `stride` are those of `MobileTrunk`. Raises ConfigurationError for another aggregation.
    """

    output_names: ClassVar[tuple[str, ...]] = ("descriptor",)
    colours: ClassVar[str] = "imagenet"

    def __init__(
        self,
        aggregation: str = "gem",
        dimension: int | None = None,
        whitened: int | None = None,
        clusters: int = CLUSTERS,
        width: float = 1.0,
        stride: int = 16,
    ) -> None:
        super().__init__()
        if aggregation not in ("gem", "netvlad"):
            raise ConfigurationError(f"expected the aggregation gem or netvlad, got {aggregation!r}")
        self.base_model = MobileTrunk(width, 5 if aggregation == "gem" else 4, stride)
        size = self.base_model.dimension
        if aggregation == "gem":
            self.gem = Gem()
        else:
            self.net_vlad = NetVlad(size, clusters)
            size = self.net_vlad.size
        self.aggregation = aggregation
        self.projection = nn.Linear(size, dimension) if dimension else None
        self.pca_layer = nn.Linear(dimension or size, whitened) if whitened else None
        self._size = whitened or dimension or size

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"dimension": 16, "clusters": 4, "width": 0.35}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        width, stages = trunk_parameters(shapes, "base_model.")
        told: dict[str, Any] = {"aggregation": "gem" if stages == 5 else "netvlad", "width": width}
        if stages == 4:
            told["clusters"] = shapes["net_vlad.centroids"][0]
        for name, layer in (("dimension", "projection"), ("whitened", "pca_layer")):
            told[name] = shapes[f"{layer}.bias"][0] if f"{layer}.bias" in shapes else None
        return told

    @property
    def descriptor_size(self) -> int:
        return self._size

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W), RGB with ImageNet's mean and deviation -> descriptors (N, G), norm 1."""
        trunk, aggregate, finish = self.region_parts()
        return (finish(aggregate(trunk(images))),)

    def region_parts(self) -> tuple[Trunk, Aggregation, Finish]:
        aggregation = self.gem if self.aggregation == "gem" else self.net_vlad
        return self.base_model, aggregation, lambda sums: self._described(aggregation.finish(sums))

    def _described(self, pooled: Tensor) -> Tensor:
        """Descriptors (..., L) through the linear layers there are, with norm 1 after each."""
        for layer in (self.projection, self.pca_layer):
            if layer is not None:
                pooled = functional.normalize(full_precision(layer(pooled)), dim=-1)
        return pooled

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Noise (batch, 3, 64, 96) of variance 1."""
        return (torch.randn(batch, 3, 64, 96, generator=generator),)
