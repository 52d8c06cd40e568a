"""Correspondence classifiers with their losses: of whole sets, of candidates one by one, and CLNet's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from relpose_ros.networks.base import Network
from relpose_ros.networks.one_to_one.candidates import CandidateNetwork
from relpose_ros.networks.one_to_one.clnet import CLNet
from relpose_training.engine.recipe import TrainingModule
from relpose_training.losses.candidate_feedback import feedback_loss, pose_gradient
from relpose_training.losses.correspondence_classification import balanced_classification_loss
from relpose_training.losses.essential_matrix import essential_from_pose, essential_loss, geometric_loss
from relpose_training.losses.pruning import level_distances, pruning_classification_loss
from relpose_training.losses.two_view import REGRESSION_WEIGHT, TwoViewTruth, stage_loss
from relpose_training.recipes.one_to_one.config import OneToOneConfig
from relpose_training.recipes.one_to_one.judgement import candidate_logits, judge, pose_errors_deg

Batch = Mapping[str, Tensor]


class Terms(NamedTuple):
    """The losses of a batch, scalars, summed over stages."""

    classification: Tensor
    geometric: Tensor
    essential: Tensor


class CorrespondenceModule(TrainingModule):
    """A network that gives logits (B, N) for each stage, and the published loss.

    A batch is that of `CorrespondencePairs`. Logged are `loss`, `classification`, `geometric` and
    `essential`, the last two also while they do not count.
    """

    def __init__(self, network: Network, config: OneToOneConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        terms = self.terms(batch)
        loss = terms.classification
        if step >= self.config.regression_start:  # on XLA: the second and last program
            loss = loss + self.regression(terms)
        return {"loss": loss, **terms._asdict()}

    def terms(self, batch: Batch) -> Terms:
        """The losses of a batch."""
        return self.stage_terms(self.network(batch["correspondences"]), batch)

    def stage_terms(self, logits: tuple[Tensor, ...], batch: Batch) -> Terms:
        """Those of the logits (B, N) of all stages, added up."""
        truth, config = truth_of(batch), self.config
        stages = [
            stage_loss(
                x, batch["correspondences"], truth, config.label_threshold, config.compat, config.margin
            )
            for x in logits
        ]
        return Terms(*(torch.stack(list(parts)).sum() for parts in list(zip(*stages, strict=True))[:3]))

    def regression(self, terms: Terms) -> Tensor:
        """The weighted loss of the pose."""
        kind = self.config.regression
        if kind == "none":
            return torch.zeros_like(terms.classification)
        weight = self.config.regression_weight or REGRESSION_WEIGHT[kind]
        return weight * (terms.geometric if kind == "geometric" else terms.essential)

    def score(self, batch: Batch) -> dict[str, Tensor]:
        """For each pair: counts of the labels, the loss of the last logits, and errors of the pose."""
        config, given, distances = self.config, batch["correspondences"], batch["labels_distance"]
        judged = judge(self.network, given, config.candidates, config.label_threshold)
        called, right = judged.logits > 0, distances < config.label_threshold
        losses = [
            balanced_classification_loss(x[None], d[None], config.label_threshold)
            for x, d in zip(judged.logits, distances, strict=True)
        ]
        errors = torch.from_numpy(pose_errors_deg(judged, given, batch["R"], batch["t"]))
        return {
            "hits": (called & right).sum(dim=1),
            "called": called.sum(dim=1),
            "right": right.sum(dim=1),
            "classification": torch.stack(losses),
            "rotation_deg": errors[:, 0],
            "translation_deg": errors[:, 1],
        }


class CandidateModule(CorrespondenceModule):
    """A network that judges candidates one by one among all correspondences of their pair."""

    network: CandidateNetwork

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        if self.config.pose_gradient == "exact":
            return super().forward(batch, step)
        logits = candidate_logits(self.network, batch["correspondences"], self.config.candidates)
        terms = self.stage_terms((logits,), batch)
        loss = terms.classification
        if step >= self.config.regression_start:
            loss = loss + self._feedback(logits, batch)
        return {"loss": loss, **{name: value.detach() for name, value in terms._asdict().items()}}

    def terms(self, batch: Batch) -> Terms:
        logits = candidate_logits(self.network, batch["correspondences"], self.config.candidates)
        return self.stage_terms((logits,), batch)

    def _feedback(self, logits: Tensor, batch: Batch) -> Tensor:
        """The original's: what classification would be one step of the learning rate along the pose loss."""
        config = self.config
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        _, gradient = pose_gradient(logits, batch["correspondences"], batch["virtual_points"])
        weight = config.regression_weight or REGRESSION_WEIGHT["geometric"]
        distances, rate = batch["labels_distance"], config.learning_rate
        return weight * feedback_loss(logits, distances, gradient, rate, config.label_threshold)


class PruningModule(CorrespondenceModule):
    """CLNet: classification at five levels, and the essential matrix of what is left."""

    def __init__(self, network: CLNet, config: OneToOneConfig) -> None:
        super().__init__(network, config)
        for name, parameter in network.named_parameters():
            # Published, and used by nothing: distributed training waits for gradients that never come.
            if ".right." in name:
                parameter.requires_grad_(False)

    def terms(self, batch: Batch) -> Terms:
        *levels, kept_1, kept_2, essential, _ = self.network(batch["correspondences"])
        distances = level_distances(batch["labels_distance"], kept_1, kept_2)
        exact = essential_from_pose(batch["R"], batch["t"])
        return Terms(
            pruning_classification_loss(levels, distances, self.config.label_threshold),
            geometric_loss(essential, batch["virtual_points"], self.config.margin),
            essential_loss(essential, exact),
        )


def truth_of(batch: Batch) -> TwoViewTruth:
    """What a batch knows of its pairs."""
    return TwoViewTruth(batch["labels_distance"], batch["R"], batch["t"], batch["virtual_points"])


def make_module(network: Network, config: OneToOneConfig) -> CorrespondenceModule:
    """The module that fits the network."""
    if isinstance(network, CLNet):
        return PruningModule(network, config)
    if isinstance(network, CandidateNetwork):
        return CandidateModule(network, config)
    return CorrespondenceModule(network, config)
