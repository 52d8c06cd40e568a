"""The samples of some shards as a dataset of the training loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relpose_ros.progress import Progress, silent
from relpose_training.data.shards import Sample, ShardSet
from relpose_training.data.stream import Dataset


class ShardDataset(Dataset):
    """One group a shard; `prepare` makes of a stored sample what the network is fed.

    Shards are verified when this is made: DatasetError names one that is truncated or corrupted.
    """

    def __init__(self, shards: ShardSet, numbers: Sequence[int], progress: Progress = silent) -> None:
        self.shards, self.numbers = shards, list(numbers)
        shards.verify(self.numbers, progress)

    def group_sizes(self) -> list[int]:
        return [self.shards.sizes[number] for number in self.numbers]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        return self.prepare(self.shards.shard(self.numbers[group]).sample(item), generator)

    def prepare(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Constant shapes out of a stored sample; by default it has them already."""
        return sample
