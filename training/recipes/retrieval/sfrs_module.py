"""SFRS: a network that learns in generations, each supervised by the one before.

Ge et al., Self-supervising Fine-grained Region Similarities for Large-scale Image Localization, ECCV 2020.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from relpose_ros.networks.retrieval.region import ComparesRegions, RegionSimilarities
from relpose_training.losses.sfrs import SfrsOptions, sfrs_loss
from relpose_training.losses.triplet import usual_margin
from relpose_training.recipes.retrieval.config import RetrievalConfig
from relpose_training.recipes.retrieval.mined_rounds import VALID
from relpose_training.recipes.retrieval.module import RetrievalModule, in_order

N = TypeVar("N", bound=nn.Module)


class SfrsModule(RetrievalModule):
    """The student is `network`; `teacher` and `initial` (what every generation begins with) are not trained.

    All of them are in the state dict, so a run that is stopped in the middle of a generation goes on with the
    same teacher. A batch is that of `RetrievalModule`, after the negatives the difficult positives, and
    `valid`. Logged are `loss`, `hard`, `soft` and `in_order`.
    """

    network: ComparesRegions

    def __init__(self, network: ComparesRegions, config: RetrievalConfig) -> None:
        super().__init__(network, config)
        self.teacher, self.initial = _still(network), _still(network)
        self.averaged = None if config.teacher_average is None else _still(network)
        self._followed: int | None = None  # a step; no buffer: states are saved between steps
        self.options = SfrsOptions(
            config.hard,
            config.temperatures,
            config.soft_weight,
            config.margin or usual_margin(config.squared),
            config.squared,
        )

    def begin(self) -> None:
        """What the network has now is what every generation begins with."""
        for copied in (self.teacher, self.initial, self.averaged):
            if copied is not None:
                copied.load_state_dict(self.network.state_dict())

    def next_generation(self) -> None:
        """The student becomes the teacher (or its average does), and begins anew."""
        taught = self.network if self.averaged is None else self.averaged
        self.teacher.load_state_dict(taught.state_dict())
        self.network.load_state_dict(self.initial.state_dict())
        if self.averaged is not None:
            self.averaged.load_state_dict(self.initial.state_dict())

    def train(self, mode: bool = True) -> SfrsModule:
        super().train(mode)
        for copied in (self.teacher, self.initial, self.averaged):
            if copied is not None:
                copied.eval()
        return self

    def forward(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        if self.averaged is not None and step != self._followed:
            self._follow()
            self._followed = step
        images, near = self.images(batch), 1 + self.config.negatives
        tuples = len(images) // (1 + near + self.config.positives)
        found = self.network.compare_regions(images, tuples)
        easy, difficult = _some(found, slice(near)), _some(found, slice(near, None))
        with torch.no_grad():
            whole = images.unflatten(0, (tuples, -1))
            hard_ones = torch.cat([whole[:, :1], whole[:, 1 + near :]], dim=1).flatten(0, 1)
            taught = self.teacher.compare_regions(hard_ones, tuples).scores
        generation = bisect_right(self.config.generation_starts, step) - 1
        with torch.autocast(images.device.type, enabled=False):
            loss = sfrs_loss(easy, difficult, taught, generation, self.options, batch[VALID])
        anchor, others = found.anchors[:, 0, 0], easy.others[:, :, 0]
        return {
            "loss": loss.total, "hard": loss.hard, "soft": loss.soft,
            "in_order": in_order(anchor, others[:, 0], others[:, 1:]),
        }  # fmt: skip

    @torch.no_grad()
    def _follow(self) -> None:
        """The average takes in the weights as they are, once before each step of the optimizer."""
        assert self.averaged is not None and self.config.teacher_average is not None
        ours = self.network.state_dict()
        for name, value in self.averaged.state_dict().items():
            if value.is_floating_point():
                value.lerp_(ours[name], 1 - self.config.teacher_average)
            else:
                value.copy_(ours[name])


def _some(found: RegionSimilarities, which: slice) -> RegionSimilarities:
    """Of the anchors' comparisons, those with some of the others."""
    return RegionSimilarities(found.scores[:, which], found.anchors, found.others[:, which])


def _still(network: N) -> N:
    """A copy that is not trained."""
    return copy.deepcopy(network).requires_grad_(False).eval()
