"""A matcher and its losses: the true assignment after every iteration, and the pose that follows from it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from relpose_ros.networks.imp.adagmn import AdaGMN
from relpose_ros.networks.imp.matcher import Matcher
from relpose_training.engine.recipe import TrainingModule
from relpose_training.losses.matching import matching_loss
from relpose_training.losses.pose_consistency import PoseConsistencyLoss, pose_consistency_loss
from relpose_training.recipes.matcher.config import MatcherConfig

Batch = Mapping[str, Tensor]

NO_LABEL = -2
"""Partner of a keypoint of which nobody knows whether it has one."""


class MatcherModule(TrainingModule):
    """GM, DGNNS or AdaGMN, every iteration supervised.

    A batch is that of `MatchingPairs`. Logged are `loss`, `matched` and `unmatched`, with a pose loss also
    `pose` and `geometry`.
    """

    network: Matcher

    def __init__(self, network: Matcher, config: MatcherConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        assignments, keep0, keep1 = self.network(*inputs_of(batch))
        pools = isinstance(self.network, AdaGMN)
        mask = matching_mask(batch["partner0"], batch["partner1"])
        matching = matching_loss(
            assignments,
            mask,
            keep0 if pools else None,
            keep1 if pools else None,
            self.config.hard_negative_margin,
            self.config.compat,
        )
        values = {"matched": matching.matched, "unmatched": matching.unmatched}
        loss = matching.total
        if self.config.pose_weight and step >= self.config.pose_start:
            consistency = self._consistency(assignments, mask, batch)
            values |= {"pose": consistency.pose, "geometry": consistency.geometry}
            loss = loss + self.config.pose_weight * (consistency.pose + consistency.geometry)
        return {"loss": loss, **values}

    def _consistency(self, assignments: Tensor, mask: Tensor, batch: Batch) -> PoseConsistencyLoss:
        """Of all iterations, as if each were a pair of its own."""
        times = assignments.shape[1]
        found = self.network.match(assignments.flatten(0, 1))
        rays0, rays1, masks, essential = (
            values.repeat_interleave(times, dim=0)
            for values in (batch["rays0"], batch["rays1"], mask, batch["essential"])
        )
        return pose_consistency_loss(
            found.indices0, found.scores0, found.scores1, rays0, rays1, masks, essential, self.config.compat
        )

    def score(self, batch: Batch) -> dict[str, Tensor]:
        """For each pair: keypoints of image 0 that were rightly matched, that were matched, that have a
        partner (those without a label left out), and the loss of the last iteration."""
        partner = batch["partner0"]
        found, _, assignment = self.network(*inputs_of(batch))
        labelled = partner != NO_LABEL
        mask = matching_mask(partner, batch["partner1"])
        losses = [matching_loss(a[None, None], m[None]).total for a, m in zip(assignment, mask, strict=True)]
        return {
            "right": ((found == partner) & (partner >= 0)).sum(dim=1),
            "called": ((found >= 0) & labelled).sum(dim=1),
            "partners": (partner >= 0).sum(dim=1),
            "matching": torch.stack(losses),
        }


def inputs_of(batch: Batch) -> tuple[Tensor, ...]:
    """What the network takes, in its order."""
    return tuple(batch[name] for name in Matcher.input_names)


def matching_mask(partner0: Tensor, partner1: Tensor) -> Tensor:
    """(B, N0+1, N1+1): 1 at true pairs, and at the dustbin of keypoints that certainly have no partner.

    partner0 (B, N0), partner1 (B, N1): index in the other image, -1 for none, NO_LABEL for not known.
    """
    numbers = torch.arange(partner1.shape[1], device=partner0.device)
    core = (partner0[:, :, None] == numbers).float()
    column, row = (partner0 == -1).float(), (partner1 == -1).float()
    mask = torch.cat([core, column.unsqueeze(2)], dim=2)
    return torch.cat([mask, torch.cat([row, row.new_zeros(len(row), 1)], dim=1).unsqueeze(1)], dim=1)
