"""The recipe `mid_level`: depth, normals or classes of an image; its encoder serves scene coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import load_network, load_weights
from relpose_ros.errors import CheckpointError
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.scene_coordinates.crossloc import TASKS, TransPoseNet
from relpose_training.data.scene_views import Extra, SceneViews
from relpose_training.data.shards import ShardSet
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores, TrainingModule
from relpose_training.engine.replay_config import ReplayOptions
from relpose_training.recipes.contrast import with_contrast, with_partners
from relpose_training.recipes.mid_level.config import MidLevelConfig
from relpose_training.recipes.mid_level.labels import mean_label
from relpose_training.recipes.mid_level.module import MODULES
from relpose_training.recipes.scene_images import views_of

EXTRAS: dict[str, tuple[Extra, ...]] = {"depth": (), "normal": ("normals",), "semantics": ("semantics",)}


class MidLevelRecipe(Recipe[MidLevelConfig]):
    """Depth, normals and classes, as CrossLoc trains the encoders of its coordinate network."""

    name = "mid_level"
    config_class = MidLevelConfig
    best: ClassVar[tuple[str, str]] = ("error", "min")

    def module(self) -> TrainingModule:
        name, parameters = self.config.network
        network = build_network(name, **parameters)
        assert isinstance(network, TransPoseNet)
        return with_contrast(MODULES[self.config.task](network, self.config), self.config)

    def start(self, module: TrainingModule) -> None:
        """Take the weights of `start_from`, or the labels' mean. Raises CheckpointError, DatasetError."""
        config, network = self.config, module.network
        assert isinstance(network, TransPoseNet)
        if config.start_from is None:
            views = self._views(ShardSet(config.data, "train"), augment=False)
            network.set_mean(mean_label(views, config.task, config.mean_samples))
            return
        given, info = load_network(config.start_from)
        if not isinstance(given, TransPoseNet):
            raise CheckpointError(
                f"{config.start_from}: expected weights of {config.task}, got {info.network}"
            )
        load_weights(network, given.state_dict(), what=str(config.start_from))

    def training_data(self, place: Place) -> Dataset:
        shards = ShardSet(self.config.data, "train")
        views = self._views(shards, shards.of_rank(place.rank, place.world), augment=True)
        return with_partners(views, self.config, lambda: self._views(shards, augment=True, extras=()))

    def validation_data(self, place: Place) -> SceneViews:
        shards = ShardSet(self.config.data, "val")
        return self._views(shards, shards.of_rank(place.rank, place.world), augment=False)

    def replay(self) -> ReplayOptions | None:
        return self.config.replay_options

    def summarise(self, scores: Scores) -> dict[str, float]:
        metrics = {name: _mean(values) for name, values in scores.items() if not _is_count(name)}
        if self.config.task == "depth":
            metrics["rms_m"] = float(np.sqrt(metrics.pop("squared_m2")))
            return {**metrics, "error": metrics["absolute_relative"]}
        if self.config.task == "normal":
            return {**metrics, "error": metrics["angle_deg"]}
        iou = mean_iou(scores)
        return {**metrics, "mean_iou": iou, "error": 1 - iou}

    def checkpoint(self) -> dict[str, Any]:
        name, parameters = self.config.network
        meta = ShardSet(self.config.data, "train").index.meta
        return {
            "network": name,
            "parameters": parameters,
            "licence": self.config.licence,
            "data": str(meta.get("source") or "not stated"),
        }

    def _views(
        self,
        shards: ShardSet,
        numbers: Sequence[int] | None = None,
        *,
        augment: bool,
        extras: tuple[Extra, ...] | None = None,
    ) -> SceneViews:
        config = self.config
        chosen = EXTRAS[config.task] if extras is None else extras
        return views_of(config, config.images, shards, numbers, augment=augment, extras=chosen)


def mean_iou(scores: Scores) -> float:
    """Mean over classes of intersection over union, both summed over all images; absent classes left out."""
    shared, either = (
        np.array([float(scores[f"{name}_{k}"].sum()) for k in range(TASKS["semantics"])])
        for name in ("shared", "either")
    )
    return float((shared[either > 0] / either[either > 0]).mean()) if either.any() else float("nan")


def _is_count(name: str) -> bool:
    return name.startswith(("shared_", "either_"))


def _mean(values: NDArray[np.floating[Any]]) -> float:
    """Of the images that have labels."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
