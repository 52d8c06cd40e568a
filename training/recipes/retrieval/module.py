"""A network of global descriptors and its loss on tuples: query, positive, negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.networks.retrieval.retriever import Retriever
from relpose_training.engine.recipe import TrainingModule
from relpose_training.losses.sare import sare_ind_loss, sare_joint_loss
from relpose_training.losses.triplet import triplet_loss, usual_margin
from relpose_training.recipes.retrieval.config import RetrievalConfig
from relpose_training.recipes.retrieval.mined_rounds import USABLE

SARE = {"sare_ind": sare_ind_loss, "sare_joint": sare_joint_loss}


class RetrievalModule(TrainingModule):
    """Triplets or SARE. A batch has `image` (T * M, 3, H, W): T tuples of M, one after the other; with
    `share_negatives` also `usable` (T, T * (M - 1)).

    Logged are `loss` and `in_order`, the share of negatives that are further than the positive.
    """

    network: Retriever

    def __init__(self, network: Retriever, config: RetrievalConfig) -> None:
        super().__init__()
        self.network, self.config = network, config
        if config.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._output = network.output_names.index(network.descriptor_output)

    def forward(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        found = self.descriptors(batch)
        anchor, positive, negatives = self._of_tuples(found)
        usable = batch.get(USABLE)
        if usable is not None:
            shown = found.unflatten(0, (len(anchor), -1))[:, 1:].flatten(0, 1)
            negatives = shown.expand(len(anchor), -1, -1)
        return {
            "loss": self.loss(anchor, positive, negatives, usable),
            "in_order": in_order(anchor, positive, negatives, usable),
        }

    def loss(
        self, anchor: Tensor, positive: Tensor, negatives: Tensor, usable: Tensor | None = None
    ) -> Tensor:
        """Of descriptors (T, D), (T, D) and (T, N, D), a scalar; `usable` (T, N): which negatives count."""
        config = self.config
        if config.loss == "triplet":
            margin = config.margin or usual_margin(config.squared)
            return triplet_loss(anchor, positive, negatives, margin, config.squared)
        return SARE[config.loss](anchor, positive, negatives, config.temperature, usable)

    def descriptors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Descriptors (N, D) of norm 1 of the images of a batch."""
        found: Tensor = self.network(self.images(batch))[self._output]
        return functional.normalize(found.float(), dim=1)

    def images(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The images of a batch (N, 3, H, W)."""
        images = batch["image"]
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images

    def score(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`descriptor` (N, D)."""
        return {"descriptor": self.descriptors(batch)}

    def _of_tuples(self, found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = found.unflatten(0, (-1, 2 + self.config.negatives))
        return found[:, 0], found[:, 1], found[:, 2:]


def in_order(anchor: Tensor, positive: Tensor, negatives: Tensor, usable: Tensor | None = None) -> Tensor:
    """Share of the negatives (T, N, D) that are further from the anchor (T, D) than the positive (T, D).

    `usable` (T, N): which negatives count; unset: all.
    """
    with torch.no_grad():
        near = (anchor * positive).sum(dim=1)[:, None]
        far = (anchor[:, None] * negatives).sum(dim=2)
        right = (far < near).float()
        return right.mean() if usable is None else (right * usable).sum() / usable.sum()
