"""EmbedNet with region similarities: what SFRS trains with.

Ge et al., Self-supervising Fine-grained Region Similarities for Large-scale Image Localization, ECCV 2020.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.embed import EmbedNet
from relpose_ros.networks.retrieval.netvlad import normalised

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
    """T anchors against n images each; L = K * D, 9 regions in the order of REGIONS.

    `scores` (T, n, 9, 9): dot products of the anchor's regions (rows) with the other's (columns);
    `anchors` (T, 1, 9, L) and `others` (T, n, 9, L): descriptors of the regions, norm 1.
    """

    scores: Tensor
    anchors: Tensor
    others: Tensor


class EmbedRegionNet(EmbedNet):
    """EmbedNet whose training also compares regions of images. The same 28 tensors, the same `forward`.

    `forward` gives (pool, vlad) in either mode; a training step calls `compare_regions`. (Wrapped for
    distributed training, call it inside the wrapped module's `forward`, so that gradients are reduced.)
    """

    def compare_regions(self, images: Tensor, tuples: int = 1) -> RegionSimilarities:
        """Images (T * (1 + n), 3, H, W), tuple after tuple, the anchor first in each, T = `tuples`.

        Raises ConfigurationError if the images are no whole tuples with at least one image beside the
        anchor, or if their maps have no halves (H // 16 and W // 16 must be even).
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
        """Images (N, 3, H, W) -> descriptors of their nine regions (N, 9, K * D), norm 1 each.

        A region's VLAD is the sum of its quarters', and is normalised after that.
        """
        features = self.base_model(images)
        with torch.autocast(images.device.type, enabled=False):
            quarters = self._quarter_vlads(features)
            members = quarters.new_tensor(QUARTERS_OF_REGION)
            return normalised(torch.einsum("rq,nqkd->nrkd", members, quarters))

    def _quarter_vlads(self, features: Tensor) -> Tensor:
        """Un-normalised VLADs (N, 4, K, D) of the four quarters of maps (N, D, h, w)."""
        height, width = features.shape[2:]
        if height % 2 or width % 2:
            raise ConfigurationError(
                f"expected feature maps of even height and width, got {height} x {width}; "
                "use images whose sides are multiples of 32"
            )
        local, assignment = self.net_vlad.assign(features)
        parts = [
            self.net_vlad.aggregate(descriptors.flatten(2), weights.flatten(2))
            for descriptors, weights in zip(_quarters(local), _quarters(assignment), strict=True)
        ]
        return torch.stack(parts, dim=1)


def _quarters(maps: Tensor) -> list[Tensor]:
    """Maps (N, C, h, w) -> four (N, C, h / 2, w / 2): top left, top right, bottom left, bottom right."""
    return [half for rows in maps.chunk(2, dim=2) for half in rows.chunk(2, dim=3)]
