"""The recipe `one_to_one`: correspondences in, inliers and a relative pose out."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from relpose_ros.checkpoints.format import load_network, load_weights
from relpose_ros.errors import CheckpointError
from relpose_ros.networks.registry import build_network
from relpose_training.data.shards import ShardSet
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores
from relpose_training.recipes.one_to_one.config import OneToOneConfig
from relpose_training.recipes.one_to_one.dataset import CorrespondencePairs
from relpose_training.recipes.one_to_one.models import MODELS, network_of
from relpose_training.recipes.one_to_one.module import CorrespondenceModule, make_module
from relpose_training.recipes.one_to_one.summary import label_metrics, pose_metrics


class OneToOneRecipe(Recipe[OneToOneConfig]):
    """Every model type of the one-to-one framework, and its family."""

    name = "one_to_one"
    config_class = OneToOneConfig
    best: ClassVar[tuple[str, str]] = ("auc_5", "max")

    def module(self) -> CorrespondenceModule:
        name, parameters = network_of(self.config)
        return make_module(build_network(name, **parameters), self.config)

    def start(self, module: Any) -> None:
        """Take the weights of `start_from`. Raises CheckpointError if they are another network's."""
        path = self.config.start_from
        if path is None:
            return
        network, info = load_network(path)
        if type(network) is not type(module.network):
            name = network_of(self.config)[0]
            raise CheckpointError(f"{path}: expected weights of {name}, got those of {info.network}")
        load_weights(module.network, network.state_dict(), what=str(path))

    def training_data(self, place: Place) -> CorrespondencePairs:
        shards = ShardSet(self.config.data, "train")
        return self._pairs(shards, shards.of_rank(place.rank, place.world))

    def validation_data(self, place: Place) -> CorrespondencePairs:
        shards = ShardSet(self.config.data, "val")
        return self._pairs(shards, shards.of_rank(place.rank, place.world))

    def _pairs(self, shards: ShardSet, numbers: list[int]) -> CorrespondencePairs:
        model = MODELS[self.config.model]
        return CorrespondencePairs(
            shards,
            self.config.correspondences,
            model.layout,
            order=model.order,
            width=self.config.width,
            numbers=numbers,
            compat=self.config.compat,
        )

    def summarise(self, scores: Scores) -> dict[str, float]:
        hits, called, right = (float(scores[name].sum()) for name in ("hits", "called", "right"))
        rotation, translation = scores["rotation_deg"], scores["translation_deg"]
        return {
            **label_metrics(hits, called, right),
            "classification": float(scores["classification"].mean()),
            "median_rotation_deg": float(np.median(rotation)),
            "median_translation_deg": float(np.median(translation)),
            **pose_metrics(np.maximum(rotation, translation)),
        }

    def checkpoint(self) -> dict[str, Any]:
        name, parameters = network_of(self.config)
        meta = ShardSet(self.config.data, "train").index.meta
        told = (str(meta[key]) for key in ("source", "features") if meta.get(key))
        return {
            "network": name,
            "parameters": parameters,
            "licence": self.config.licence,
            "data": ", ".join(told) or "not stated",
        }
