"""The recipe `scene_coordinates`: images of one scene in, the points that their cells see out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from relpose_ros.checkpoints.scene import SceneInfo
from relpose_ros.networks.registry import build_network
from relpose_training.data.cell_labels import STRIDE
from relpose_training.data.label_statistics import ImageStatistics
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.shards import ShardSet
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores, TrainingModule
from relpose_training.engine.replay_config import ReplayOptions
from relpose_training.recipes.contrast import with_contrast, with_partners
from relpose_training.recipes.scene_coordinates import scoring
from relpose_training.recipes.scene_coordinates.config import SceneCoordinatesConfig
from relpose_training.recipes.scene_coordinates.models import NETWORKS, network_of
from relpose_training.recipes.scene_coordinates.module import SceneCoordinateModule
from relpose_training.recipes.scene_coordinates.start import begin
from relpose_training.recipes.scene_images import split_of


class SceneCoordinatesRecipe(Recipe[SceneCoordinatesConfig]):
    """DSAC*, TransPose and CrossLoc: initialisation, end-to-end training, uncertainty."""

    name = "scene_coordinates"
    config_class = SceneCoordinatesConfig
    best: ClassVar[tuple[str, str]] = ("median_translation_m", "min")

    def module(self) -> TrainingModule:
        name, parameters = self._network()
        return with_contrast(
            SceneCoordinateModule(build_network(name, **parameters), self.config), self.config
        )

    def start(self, module: Any) -> None:
        """The mean of the scene, or the weights of `start_from`: the same in every process."""
        module.network.eval()
        views = self._training_views(Place())
        begin(module.network, self.config, views, views.meta["origin"])

    def training_data(self, place: Place) -> Dataset:
        views = self._training_views(place)
        return with_partners(views, self.config, lambda: self._training_views(Place()))

    def replay(self) -> ReplayOptions | None:
        return self.config.replay_options

    def _network(self) -> tuple[str, dict[str, Any]]:
        """Registry name, and constructor arguments beyond those registered."""
        name, parameters = network_of(self.config.network, self.config.uncertainty)
        return name, {**parameters, **self.config.encoder_parameters}

    def _training_views(self, place: Place) -> SceneViews:
        return split_of(self.config, self._images, "train", place, augment=True)

    def validation_data(self, place: Place) -> SceneViews:
        return split_of(self.config, self._images, "val", place, augment=False)

    @property
    def _images(self) -> ImageStatistics:
        return NETWORKS[self.config.network].images

    def summarise(self, scores: Scores) -> dict[str, float]:
        return scoring.summarise(scores)

    def checkpoint(self) -> dict[str, Any]:
        name, parameters = self._network()
        meta = ShardSet(self.config.data, "train").index.meta
        return {
            "network": name,
            "parameters": parameters,
            "licence": self.config.licence,
            "data": str(meta.get("source") or "not stated"),
            "scene": scene_info(meta, self._images, self.config.height).to_dict(),
        }


def scene_info(meta: Mapping[str, Any], images: ImageStatistics, height: int) -> SceneInfo:
    """Where the coordinates lie and how an image is fed: what a set says in its `meta`, and a network."""
    low, high = meta["bounds"]
    return SceneInfo(
        frame=str(meta["frame"]),
        origin=tuple(meta["origin"]),
        bounds=(tuple(low), tuple(high)),
        height=height,
        cell=STRIDE,
        channels=len(images.mean),
        mean=images.mean,
        spread=images.deviation,
        metric=bool(meta["metric"]),
        views=tuple(tuple(view) for view in meta["views"]),
    )
