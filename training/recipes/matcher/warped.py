"""Warped views of images, made while training: as many pairs as steps ask for, none of them stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import DatasetError
from relpose_ros.features.base import Extractor
from relpose_ros.features.registry import make_extractor
from relpose_training.data.image_folders import image_sequences
from relpose_training.data.matching_batch import SampleSettings, matching_item
from relpose_training.data.sequences import SourceSequence
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset
from relpose_training.data.warped_pairs import WarpOptions, warped_pair
from relpose_training.engine.device import Place
from relpose_training.recipes.matcher.config import MatcherConfig

Split = Literal["train", "val"]


class WarpedPairs(Dataset):
    """Each image gives another pair in every epoch, in the batch of `MatchingPairs`.

    `groups` are images by sequence; their poses do not matter. Raises DatasetError without an image.
    """

    def __init__(
        self, groups: Sequence[Sequence[PosedImage]], settings: SampleSettings, options: WarpOptions
    ) -> None:
        if not any(groups):
            raise DatasetError("expected images to make pairs of, got none")
        self.groups = [list(group) for group in groups]
        self.settings, self.options = settings, options
        self._extractor: Extractor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_extractor": None}

    def group_sizes(self) -> list[int]:
        return [len(group) for group in self.groups]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        if self._extractor is None:
            self._extractor = make_extractor(self.options.features, self.options.max_keypoints)
        image = self.groups[group][item].load()
        stored = warped_pair(image, self._extractor, self.options, generator)
        return matching_item(stored, self.settings, generator)


def warp_options(config: MatcherConfig) -> WarpOptions:
    """How the pairs of `images` are made. Raises ConfigurationError for unknown features."""
    return WarpOptions(features=config.features, max_keypoints=config.max_keypoints)


def warped_pairs(config: MatcherConfig, split: Split, place: Place) -> WarpedPairs:
    """The pairs of a split of `config.images`; of several processes each has its share of the images.

    Raises DatasetError for what is no folder of images, and where one of the splits has none.
    """
    sequences = image_sequences(config.images, lambda names: [SourceSequence(Path(n)) for n in names])
    parts = [list(sequence.images()) for sequence in sequences]
    if config.data is None:
        parts = [_part(images, split, config.holdout) for images in parts]
    if not any(parts):
        raise DatasetError(
            f"{', '.join(config.images)}: expected images for training and for validation, found too few; "
            "give more, or change holdout"
        )
    mine = [part[place.rank :: place.world] for part in parts]
    return WarpedPairs([part for part in mine if part], config, warp_options(config))


def _part(images: list[PosedImage], split: Split, holdout: float) -> list[PosedImage]:
    """The images of a split: the last ones are for validation, since neighbours often show the same."""
    held = min(max(1, round(holdout * len(images))), len(images) - 1)
    kept = len(images) - held
    return images[:kept] if split == "train" else images[kept:]
