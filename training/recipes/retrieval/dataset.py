"""Images of one split as training and mining want them: each by itself, tuples are made of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.datasets.image_files import read_image
from relpose_ros.datasets.place_recognition.splits import PlaceDataset, PlaceSplit
from relpose_training.data.image_transforms import PLAIN, Augmentation, training_input
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset


class PlaceImages(Dataset):
    """Samples {"image": (3, H, W) float32} of image files in groups, changed by `augment`."""

    def __init__(
        self, groups: Sequence[Sequence[Path]], info: RetrievalInfo, augment: Augmentation = PLAIN
    ) -> None:
        self.groups, self.info, self.augment = [list(group) for group in groups], info, augment

    @classmethod
    def of_split(
        cls, dataset: PlaceDataset, split: PlaceSplit, info: RetrievalInfo, augment: Augmentation = PLAIN
    ) -> PlaceImages:
        """Two groups: queries and gallery."""
        sides = (split.queries, split.gallery)
        return cls([[dataset.path(image) for image in side] for side in sides], info, augment)

    def group_sizes(self) -> list[int]:
        return [len(group) for group in self.groups]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        pixels = read_image(self.groups[group][item])
        if self.augment == PLAIN:
            return {"image": network_input(pixels, self.info)[0]}
        draws = torch.Generator().manual_seed(int(generator.integers(2**62)))
        return {"image": training_input(pixels, draws, self.info, self.augment)}


class Chosen(Dataset):
    """Samples of another dataset, by their numbers through its groups end to end, in that order."""

    def __init__(self, dataset: Dataset, numbers: Sequence[int]) -> None:
        self.dataset = dataset
        first = np.cumsum([0, *dataset.group_sizes()])
        groups = np.searchsorted(first, numbers, side="right") - 1
        self.places: list[tuple[int, int]] = [
            (int(group), int(number - first[group])) for group, number in zip(groups, numbers, strict=True)
        ]

    def group_sizes(self) -> list[int]:
        return [len(self.places)]

    def sample(self, group: int, item: int, generator: Any) -> Sample:
        return self.dataset.sample(*self.places[item], generator)
