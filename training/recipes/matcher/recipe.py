"""The recipe `matcher`: two images' keypoints in, matches out after every iteration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from relpose_ros.checkpoints.format import load_network, load_weights
from relpose_ros.errors import CheckpointError, DatasetError
from relpose_ros.networks.imp.matcher import Matcher
from relpose_ros.networks.registry import build_network
from relpose_training.data.shards import ShardSet
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores
from relpose_training.recipes.matcher.config import MatcherConfig
from relpose_training.recipes.matcher.dataset import MatchingPairs
from relpose_training.recipes.matcher.module import MatcherModule
from relpose_training.recipes.matcher.start import start_as_nearest_neighbours
from relpose_training.recipes.matcher.warped import Split, warp_options, warped_pairs


class MatcherRecipe(Recipe[MatcherConfig]):
    """IMP, EIMP and their baseline GM."""

    name = "matcher"
    config_class = MatcherConfig
    best: ClassVar[tuple[str, str]] = ("f_score", "max")

    def module(self) -> MatcherModule:
        network = build_network(self._architecture, **self._parameters)
        assert isinstance(network, Matcher)
        return MatcherModule(network, self.config)

    def start(self, module: Any) -> None:
        """Take the weights of `start_from`. Raises CheckpointError if they are another network's."""
        if self.config.start_as_nearest:
            start_as_nearest_neighbours(module.network)
        path = self.config.start_from
        if path is None:
            return
        network, info = load_network(path)
        if not isinstance(network, Matcher):
            raise CheckpointError(
                f"{path}: expected weights of a matcher (imp.*), got those of {info.network}"
            )
        load_weights(module.network, network.state_dict(), what=str(path))

    def training_data(self, place: Place) -> Dataset:
        if self.config.images:
            return warped_pairs(self.config, "train", place)
        return self._pairs("train", place)

    def validation_data(self, place: Place) -> Dataset:
        if self.config.data is None:
            return warped_pairs(self.config, "val", place)
        self._check_features()
        return self._pairs("val", place)

    def _check_features(self) -> None:
        """Raises DatasetError for shards of other features than those that `images` train on."""
        stored = self._shards("val").index.meta.get("features")
        if self.config.images and stored != self.config.features:
            raise DatasetError(
                f"{self.config.data}: expected pairs of {self.config.features}, on which images are trained, "
                f"got {stored}; set features={stored}, or prepare the pairs with --features"
            )

    def _pairs(self, split: Split, place: Place) -> MatchingPairs:
        shards = self._shards(split)
        return MatchingPairs(shards, self.config, shards.of_rank(place.rank, place.world))

    def _shards(self, split: Split) -> ShardSet:
        assert self.config.data is not None, "MatcherConfig asks for data or images"
        return ShardSet(self.config.data, split)

    def summarise(self, scores: Scores) -> dict[str, float]:
        right, called, partners = (float(scores[name].sum()) for name in ("right", "called", "partners"))
        return {
            "precision": right / max(called, 1.0),
            "recall": right / max(partners, 1.0),
            "f_score": 2 * right / max(called + partners, 1.0),
            "matching": float(scores["matching"].mean()),
        }

    def checkpoint(self) -> dict[str, Any]:
        meta = self._meta
        told = (str(meta[key]) for key in ("source", "features") if meta.get(key))
        return {
            "network": self._architecture,
            "parameters": self._parameters,
            "licence": self.config.licence,
            "data": ", ".join(told) or "not stated",
        }

    @property
    def _architecture(self) -> str:
        return f"imp.{self.config.model}"

    @property
    def _parameters(self) -> dict[str, Any]:
        size = self._meta.get("descriptor_size")
        if not isinstance(size, int):
            raise DatasetError(
                f"{self.config.data}: expected shards of matching pairs, which say the size of their "
                "descriptors; make them with `relpose prepare matches`"
            )
        return self.config.network_parameters(size)

    @property
    def _meta(self) -> Mapping[str, Any]:
        if self.config.images:
            source = f"warped images of {' '.join(self.config.images)}"
            return {**warp_options(self.config).meta(), "source": source}
        return self._shards("train").index.meta
