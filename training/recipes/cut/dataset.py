"""Unpaired images of two domains.

source  (3, S, S) float32  RGB in [-1, 1]
target  (3, S, S) float32  the same, of the other domain: any image of it
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.resampling import resize_short_side
from relpose_training.data.scene_changes import Normalisation
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place
from relpose_training.recipes.cut.banks import ImageBank, Split, open_bank
from relpose_training.recipes.cut.config import CutConfig

SIGNED = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""RGB in [-1, 1]."""


class UnpairedImages(Dataset):
    """Every image of the source once an epoch, each with one of the target.

    With `vary` places, mirroring and the target's image are drawn; else they are the middle, none, and the
    image of the same number.
    """

    def __init__(
        self, source: ImageBank, target: ImageBank, config: CutConfig, place: Place, vary: bool
    ) -> None:
        self.source, self.target, self.config, self.vary = source, target, config, vary
        self.numbers = list(range(len(source)))[place.rank :: place.world]

    def group_sizes(self) -> list[int]:
        return [len(self.numbers)]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        number = self.numbers[item]
        other = int(generator.integers(len(self.target))) if self.vary else number % len(self.target)
        return {
            "source": self._crop(self.source.load(number), generator),
            "target": self._crop(self.target.load(other), generator),
        }

    def _crop(self, image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.float32]:
        small, side = resize_short_side(image, self.config.short_side), self.config.crop
        y, x = (
            int(generator.integers(room + 1)) if self.vary else room // 2
            for room in (length - side for length in small.shape[:2])
        )
        part = small[y : y + side, x : x + side]
        if self.vary and self.config.flip and generator.random() < 0.5:
            part = part[:, ::-1]
        return SIGNED.apply(np.ascontiguousarray(part))


def unpaired_images(config: CutConfig, split: Split, place: Place) -> UnpairedImages:
    """The images of a split. Raises DatasetError if one of the domains has none."""
    source = open_bank(config.source, "simulated", split, config.holdout)
    target = open_bank(config.target, "real", split, config.holdout)
    return UnpairedImages(source, target, config, place, vary=split == "train")
