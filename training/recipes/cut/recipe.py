"""The recipe `cut`: images of one domain in, the same in the looks of another out."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from relpose_ros.networks.registry import build_network
from relpose_ros.networks.translation.generator import CutGenerator
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores
from relpose_training.recipes.cut.config import CutConfig
from relpose_training.recipes.cut.dataset import UnpairedImages, unpaired_images
from relpose_training.recipes.cut.module import CutModule

NETWORKS = {"small": "translation.cut_generator_small", "published": "translation.cut_generator"}


class CutRecipe(Recipe[CutConfig]):
    """CUT, as published or small."""

    name = "cut"
    config_class = CutConfig
    best: ClassVar[tuple[str, str]] = ("quality", "min")

    def module(self) -> CutModule:
        network = build_network(NETWORKS[self.config.generator])
        assert isinstance(network, CutGenerator)
        return CutModule(network, self.config)

    def training_data(self, place: Place) -> UnpairedImages:
        return unpaired_images(self.config, "train", place)

    def validation_data(self, place: Place) -> UnpairedImages:
        return unpaired_images(self.config, "val", place)

    def summarise(self, scores: Scores) -> dict[str, float]:
        """Means, and `quality`: the distance of the looks as a share of what it was, plus the contrast as a
        share of what guessing gives. Neither images left alone nor any image of the target has a low one.
        """
        means = {name: float(values.mean()) for name, values in scores.items()}
        closer = means["looks"] / max(means["looks_before"], 1e-8)
        return {**means, "quality": closer + means["nce"] / math.log(max(self.config.patches, 2))}

    def checkpoint(self) -> dict[str, Any]:
        source, target = self.config.source, self.config.target
        told = f"{source} to look like {target}"
        if source == target:
            told = f"the simulated images of {source} to look like the real ones"
        return {
            "network": NETWORKS[self.config.generator],
            "licence": self.config.licence,
            "data": told,
        }
