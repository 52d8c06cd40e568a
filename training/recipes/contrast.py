"""Contrastive learning beside another task: settings, data and loss, for recipes that train a TransPoseNet.

Views of the same place, real or simulated, are drawn together in the space of a projection head (TransPose's
SuperCon). Its head is trained with the network and thrown away afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.crossloc import TransPoseNet
from relpose_ros.networks.scene_coordinates.projection_head import ProjectionHead
from relpose_training.data.contrastive_sets import SetOptions
from relpose_training.data.contrastive_tuples import ContrastiveTuples, TupleOptions
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.similarity_table import read_table
from relpose_training.data.stream import Dataset
from relpose_training.engine.configuration import STRICT, Count, EngineConfig, Rate, Share
from relpose_training.engine.recipe import TrainingModule
from relpose_training.engine.replay import weighted_mean
from relpose_training.losses.contrastive import tuple_supcon_loss

TINY_CHANNELS = 128


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContrastiveConfig(EngineConfig):
    """Settings of contrastive learning."""

    contrastive_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of the contrastive loss beside the task's; 0: none."""
    similarity: Path | None = None
    """How alike the training views are (`relpose prepare similarity`); contrastive_weight needs it."""
    contrastive_temperature: Rate = 0.07
    """Of its softmax."""
    contrastive_dimension: Annotated[int, Field(ge=256, multiple_of=32)] = 512
    """Of the embeddings (published: 2048). With few, the groups of its normalisation are too small."""
    positives_same: Count = 1
    """Views of the same place in the anchor's own domain (real or simulated), for each anchor."""
    positives_other: Count = 1
    """Views of the same place in the other domain."""
    negatives_same: Count = 2
    """Views of other places in its own domain."""
    negatives_other: Count = 2
    """Views of other places in the other domain."""
    near_share: Share = 0.01
    """Nearest share of a domain that may be positives (at least one view)."""
    near_back_share: Share = 0.05
    """They must have the anchor among the nearest share, too."""
    near_metres: Rate = 150.0
    """Between the cameras, at most, for positives."""
    near_distance: Rate | None = None
    """Of the table, at most, for positives; unset: any that is less than the largest."""
    far_share: Share = 0.05
    """Furthest share of a domain that may be negatives."""
    far_back_share: Share = 0.05
    """They must have the anchor among their furthest share, too."""

    def check_contrast(self, network: str = "coord") -> None:
        """Raises ConfigurationError for settings that do not go together; call it in `__post_init__`."""
        if not self.contrastive_weight:
            return
        if not network.startswith("coord"):
            raise ConfigurationError(f"contrastive_weight expects network=coord or coord_tiny, got {network}")
        if self.similarity is None:
            raise ConfigurationError(
                "contrastive_weight expects similarity=TABLE.h5; make one with `relpose prepare similarity`"
            )
        self.tuple_options  # noqa: B018 (it refuses what does not fit)

    @property
    def tuple_options(self) -> TupleOptions:
        """What tuples are made of."""
        sets = SetOptions(
            self.near_share, self.near_back_share, self.near_metres, self.far_share, self.far_back_share,
            math.inf if self.near_distance is None else self.near_distance,
        )  # fmt: skip
        counts = (self.positives_same, self.positives_other, self.negatives_same, self.negatives_other)
        return TupleOptions(*counts, sets)


class ContrastiveModule(TrainingModule):
    """Another module, with the contrastive loss of its network's features added to its loss.

    Batches are those of `ContrastiveTuples`. Logged beside what the other logs: `task` (its loss) and
    `contrastive`. Raises ConfigurationError if its network is no TransPoseNet.
    """

    def __init__(self, inner: TrainingModule, config: ContrastiveConfig) -> None:
        super().__init__()
        if not isinstance(inner.network, TransPoseNet):
            raise ConfigurationError(
                "contrastive_weight expects a network with an encoder of TransPose (coord, coord_tiny), got "
                f"{type(inner.network).__name__}"
            )
        self.inner, self.config = inner, config
        narrow = inner.network.state_dict()["decoder.res3_conv1.weight"].shape[1] == TINY_CHANNELS
        self.head = ProjectionHead(config.contrastive_dimension, tiny=narrow)

    @property
    def network(self) -> Network:  # type: ignore[override]
        """The other module's: what is saved."""
        return self.inner.network

    @property
    def has_idle_parameters(self) -> bool:  # type: ignore[override]
        """As the other module."""
        return self.inner.has_idle_parameters

    def forward(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        values = self.inner(batch, step)
        contrastive = self.contrastive_loss(batch)
        total = values["loss"] + self.config.contrastive_weight * weighted_mean(contrastive, batch)
        return {**values, "loss": total, "task": values["loss"], "contrastive": contrastive.mean()}

    def contrastive_loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss (B,) of the anchors with their partners."""
        partners = batch["partners"]
        images = torch.cat([batch["image"][:, None], partners], dim=1)
        embedded = self.embed(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return tuple_supcon_loss(
            embedded[:, 0],
            embedded[:, 1:],
            batch["exist"],
            self.config.tuple_options.positives,
            self.config.contrastive_temperature,
        )

    def embed(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> embeddings (B, D), of any length."""
        network: Any = self.network
        embedded: Tensor = self.head(network.encode(images))[0]
        return embedded

    def score(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.inner.score(batch)


def with_contrast(module: TrainingModule, config: ContrastiveConfig) -> TrainingModule:
    """The module, with the contrastive loss if the configuration has a weight for it."""
    return ContrastiveModule(module, config) if config.contrastive_weight else module


def without_contrast(module: TrainingModule) -> TrainingModule:
    """The module that a contrastive one stands around; any other as it is."""
    return module.inner if isinstance(module, ContrastiveModule) else module


def with_partners(
    views: SceneViews, config: ContrastiveConfig, open_everyone: Callable[[], SceneViews]
) -> Dataset:
    """The training views of this process, with partners if they are wanted.

    `open_everyone` makes all views of the set, for their images. Raises DatasetError if the table of
    similarities is not there or is of other views.
    """
    if not config.contrastive_weight or config.similarity is None:
        return views
    table = read_table(config.similarity)
    return ContrastiveTuples(views, table, config.tuple_options, open_everyone())
