"""The recipe `scene_cells`: a network of one scene that a robot can run, in minutes."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch

from relpose_ros.checkpoints.predictor import default_cache
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.scene_coordinates.cells import CellRegressor
from relpose_training.data.label_statistics import ImageStatistics
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.shards import ShardSet
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores
from relpose_training.recipes.scene_cells.config import SceneCellsConfig
from relpose_training.recipes.scene_cells.described import DescribedCells, describe_views
from relpose_training.recipes.scene_cells.fitting import fit_scene
from relpose_training.recipes.scene_cells.module import SceneCellsModule
from relpose_training.recipes.scene_coordinates import scoring
from relpose_training.recipes.scene_coordinates.recipe import scene_info
from relpose_training.recipes.scene_images import split_of

NETWORK = "scene_coordinates.cells"
IMAGES = ImageStatistics((0.0,), (1.0,))
"""The network takes grey values from 0 to 1."""


class SceneCellsRecipe(Recipe[SceneCellsConfig]):
    """Descriptors once, then a regressor of scene coordinates."""

    name = "scene_cells"
    config_class = SceneCellsConfig
    best: ClassVar[tuple[str, str]] = ("median_translation_m", "min")

    def module(self) -> SceneCellsModule:
        network = build_network(NETWORK, **self._parameters())
        return SceneCellsModule(cast(CellRegressor, network), self.config)

    def start(self, module: Any) -> None:
        """Components and anchors, from what the first process sees: the same in every process."""
        config = self.config
        fitted = fit_scene(self.training_data(Place()), config.components, config.anchors, config.seed)
        arrays = (torch.from_numpy(a) for a in (fitted.mean, fitted.projection, fitted.anchors))
        module.network.set_scene(*arrays, fitted.unit)

    def training_data(self, place: Place) -> DescribedCells:
        config = self.config
        plain, copied = (split_of(config, IMAGES, "train", place, augment=a) for a in (False, True))
        folder = describe_views(
            plain, copied, config.copies, config.stored_cells, config.seed, default_cache() / "described",
            self.progress,
        )  # fmt: skip
        return DescribedCells(folder, config.step_cells)

    def validation_data(self, place: Place) -> SceneViews:
        return split_of(self.config, IMAGES, "val", place, augment=False)

    def summarise(self, scores: Scores) -> dict[str, float]:
        return scoring.summarise(scores)

    def checkpoint(self) -> dict[str, Any]:
        meta = ShardSet(self.config.data, "train").index.meta
        return {
            "network": NETWORK,
            "parameters": self._parameters(),
            "licence": self.config.licence,
            "data": str(meta.get("source") or "not stated"),
            "scene": scene_info(meta, IMAGES, self.config.height).to_dict(),
        }

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self.config, name) for name in ("anchors", "width", "blocks", "components")}
