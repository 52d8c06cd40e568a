"""The recipe `atloc`: an image in, a pose out, by regression."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from relpose_ros.checkpoints.format import load_network, load_weights
from relpose_ros.checkpoints.scene import SceneInfo
from relpose_ros.errors import CheckpointError
from relpose_ros.evaluation.pose_table import summarise_poses
from relpose_ros.networks.absolute_pose.atloc import AtLoc
from relpose_ros.networks.registry import build_network
from relpose_training.data.shards import ShardSet
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores
from relpose_training.recipes.atloc.backbone import load_backbone
from relpose_training.recipes.atloc.config import AtLocConfig
from relpose_training.recipes.atloc.dataset import IMAGENET, PoseViews, pose_views
from relpose_training.recipes.atloc.module import AtLocModule

NOTE = "absolute pose regression, for comparison alone: not for a robot"

LEAST_DEVIATION = 0.05
"""Of an axis along which the cameras hardly move, as a share of the largest."""


class AtLocRecipe(Recipe[AtLocConfig]):
    """AtLoc, as published or small."""

    name = "atloc"
    config_class = AtLocConfig
    best: ClassVar[tuple[str, str]] = ("median_translation_m", "min")

    def module(self) -> AtLocModule:
        network = build_network(f"absolute_pose.{self.config.network}", **self._parameters())
        assert isinstance(network, AtLoc)
        return AtLocModule(network, self.config.beta, self.config.gamma)

    def start(self, module: Any) -> None:
        """Take the weights of `backbone` or of `start_from`. Raises CheckpointError for others'."""
        if self.config.backbone is not None:
            load_backbone(module.network.feature_extractor, self.config.backbone)
        if self.config.start_from is not None:
            network, info = load_network(self.config.start_from)
            if not isinstance(network, AtLoc):
                raise CheckpointError(
                    f"{self.config.start_from}: expected weights of AtLoc, got those of {info.network}"
                )
            load_weights(module.network, network.state_dict(), what=str(self.config.start_from))

    def training_data(self, place: Place) -> PoseViews:
        return self._views("train", place)

    def validation_data(self, place: Place) -> PoseViews:
        return self._views("val", place)

    def summarise(self, scores: Scores) -> dict[str, float]:
        return summarise_poses(scores["translation_m"], scores["rotation_deg"])

    def checkpoint(self) -> dict[str, Any]:
        return {
            "network": f"absolute_pose.{self.config.network}",
            "parameters": self._parameters(),
            "licence": self.config.licence,
            "data": f"{self._meta().get('source') or 'not stated'} ({NOTE})",
            "scene": self._scene().to_dict(),
        }

    def _views(self, split: str, place: Place) -> PoseViews:
        numbers = ShardSet(self.config.data, split).of_rank(place.rank, place.world)
        return pose_views(self.config, split, numbers)

    def _meta(self) -> dict[str, Any]:
        return dict(ShardSet(self.config.data, "train").index.meta)

    def _parameters(self) -> dict[str, Any]:
        """Beyond those registered: the dropout, and what the translation is normalised by."""
        centres = np.asarray(self._meta()["views"], float).reshape(-1, 6)[:, :3]
        spread = centres.std(axis=0)
        largest = float(spread.max()) or 1.0
        return {
            "dropout": self.config.dropout,
            "mean": centres.mean(axis=0).tolist(),
            "deviation": np.maximum(spread, LEAST_DEVIATION * largest).tolist(),
        }

    def _scene(self) -> SceneInfo:
        meta = self._meta()
        return SceneInfo(
            frame=str(meta["frame"]),
            origin=tuple(meta["origin"]),
            bounds=(tuple(meta["bounds"][0]), tuple(meta["bounds"][1])),
            height=self.config.height,
            channels=3,
            mean=IMAGENET.mean,
            spread=IMAGENET.spread,
            metric=bool(meta["metric"]),
            views=tuple(tuple(view) for view in meta["views"]),
        )
