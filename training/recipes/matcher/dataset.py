"""Pairs of images from shards, as matchers and their losses take them (see `matching_batch`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.progress import Progress, silent
from relpose_training.data.matching_batch import SampleSettings, matching_item
from relpose_training.data.matching_fields import FIELDS
from relpose_training.data.shard_dataset import ShardDataset
from relpose_training.data.shards import Sample, ShardSet

DIFFICULTIES = 5
"""Equal ranges of overlap; with the engine's `replay_balance` each counts alike."""


class MatchingPairs(ShardDataset):
    """The pairs of these shards (default: all), each with `settings.keypoints` keypoints an image.

    `settings`: the recipe's configuration, or `SampleOptions`. Raises DatasetError if the shards hold
    something else, or are damaged.
    """

    def __init__(
        self,
        shards: ShardSet,
        settings: SampleSettings,
        numbers: Sequence[int] | None = None,
        progress: Progress = silent,
    ) -> None:
        super().__init__(shards, range(len(shards.sizes)) if numbers is None else numbers, progress)
        self.settings = settings
        if self.numbers:
            self._check()

    @property
    def descriptor_size(self) -> int:
        """Numbers of a descriptor."""
        return int(self.shards.shard(self.numbers[0]).sample(0)["descriptors0"].shape[1])

    def prepare(self, sample: Sample, generator: np.random.Generator) -> Sample:
        return matching_item(sample, self.settings, generator)

    def kinds(self) -> NDArray[np.int64]:
        """Difficulty of each pair, 0 (least overlap) to 4."""
        overlap = [self.shards.shard(number).column("overlap") for number in self.numbers]
        shares = np.concatenate([np.zeros(0), *overlap])
        return np.clip((shares * DIFFICULTIES).astype(np.int64), 0, DIFFICULTIES - 1)

    def _check(self) -> None:
        """Refuse shards of something else before a run starts."""
        stored = self.shards.shard(self.numbers[0]).sample(0)
        missing = [name for name in FIELDS if name not in stored]
        if missing:
            raise DatasetError(
                f"{self.shards.url}: expected matching pairs ({', '.join(FIELDS)}), found "
                f"{', '.join(stored)}; make them with `relpose prepare matches`"
            )
