"""Region similarities: what SFRS trains with.

Ge et al., Self-supervising Fine-grained Region Similarities for Large-scale Image Localization, ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.embed import EmbedNet
from relpose_ros.networks.retrieval.retriever import Retriever

Trunk = Callable[[Tensor], Tensor]
Aggregation = Callable[[Tensor], Tensor]
Finish = Callable[[Tensor], Tensor]

REGIONS = ("global", "top", "bottom", "left", "right", "top left", "top right", "bottom left", "bottom right")

QUARTERS_OF_REGION = (
    (1, 1, 1, 1),
    (1, 1, 0, 0),
    (0, 0, 1, 1),
    (1, 0, 1, 0),
    (0, 1, 0, 1),
    (1, 0, 0, 0),
    (0, 1, 0, 0),
    (0, 0, 1, 0),
    (0, 0, 0, 1),
)
"""Which quarters (top left, top right, bottom left, bottom right) each region is made of."""


class RegionSimilarities(NamedTuple):
    """T anchors against n images each; 9 regions in the order of REGIONS.

    `scores` (T, n, 9, 9): dot products of the anchor's regions (rows) with the other's (columns);
    `anchors` (T, 1, 9, L) and `others` (T, n, 9, L): descriptors (L values) of the regions, norm 1.
    """

    scores: Tensor
    anchors: Tensor
    others: Tensor


class ComparesRegions(Retriever):
    """A retriever whose training also compares regions of images; it adds no tensors.

    Wrapped for distributed training, call `compare_regions` inside the wrapped module's `forward`, so that
    gradients are reduced.
    """

    def region_parts(self) -> tuple[Trunk, Aggregation, Finish]:
        """Images (N, 3, H, W) -> maps (N, C, h, w); maps -> sums over their pixels (N, ...); such sums with
        any leading axes -> descriptors (..., L), norm 1."""
        raise NotImplementedError

    def compare_regions(self, images: Tensor, tuples: int = 1) -> RegionSimilarities:
        """Images (T * (1 + n), 3, H, W), tuple after tuple, the anchor first in each, T = `tuples`.

        Raises ConfigurationError if the images are no whole tuples with at least one image beside the
        anchor, or if their maps have no halves (H and W over the trunk's stride must be even).
        """
        if tuples < 1 or len(images) % tuples or len(images) < 2 * tuples:
            raise ConfigurationError(
                f"expected {tuples} tuples of an anchor and others of equal number, got {len(images)} images"
            )
        regions = self.region_descriptors(images)
        regions = regions.reshape(tuples, len(images) // tuples, *regions.shape[1:])
        anchors, others = regions[:, :1], regions[:, 1:]
        with torch.autocast(images.device.type, enabled=False):
            return RegionSimilarities(anchors @ others.transpose(2, 3), anchors, others)

    def region_descriptors(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> descriptors of their nine regions (N, 9, L), norm 1 each.

        What a region sums up (its VLAD) is the sum of its quarters', and is normalised after that.
        """
        trunk, aggregation, finish = self.region_parts()
        features = trunk(images)
        _check_halves(features)
        with torch.autocast(images.device.type, enabled=False):
            quarters = torch.stack([aggregation(quarter) for quarter in _quarters(features)], dim=1)
            members = quarters.new_tensor(QUARTERS_OF_REGION)
            sums = torch.einsum("rq,nqx->nrx", members, quarters.flatten(2))
            return finish(sums.unflatten(2, quarters.shape[2:]))


class EmbedRegionNet(ComparesRegions, EmbedNet):
    """EmbedNet that compares regions. The same 28 tensors, the same `forward`.

    `forward` gives (pool, vlad) in either mode; a training step calls `compare_regions`.
    """

    def region_parts(self) -> tuple[Trunk, Aggregation, Finish]:
        return self.base_model, self.net_vlad, self.net_vlad.finish


def _check_halves(features: Tensor) -> None:
    height, width = features.shape[2:]
    if height % 2 or width % 2:
        raise ConfigurationError(
            f"expected feature maps of even height and width, got {height} x {width}; "
            "use images whose sides are multiples of 32 (of 64 for a trunk of stride 32)"
        )


def _quarters(maps: Tensor) -> list[Tensor]:
    """Maps (N, C, h, w) -> four (N, C, h / 2, w / 2): top left, top right, bottom left, bottom right."""
    return [half for rows in maps.chunk(2, dim=2) for half in rows.chunk(2, dim=3)]
