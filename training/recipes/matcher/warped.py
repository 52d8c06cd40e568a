"""Warped views of images, made while training: as many pairs as steps ask for, none of them stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import DatasetError
from relpose_ros.features.base import Extractor
from relpose_ros.features.registry import make_extractor
from relpose_training.data.matching_batch import SampleSettings, matching_item
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset
from relpose_training.data.warped_pairs import WarpOptions, warped_pair


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
