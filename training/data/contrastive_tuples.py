"""Views of a scene with partners: some of the same place and some of others, in and across the domains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.contrastive_sets import SetOptions, contrastive_sets
from relpose_training.data.rare_first import draw_rare_first
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.shards import Sample
from relpose_training.data.similarity_table import SimilarityTable
from relpose_training.data.stream import Dataset

Indices = NDArray[np.int64]

KINDS = ("positive_same", "positive_other", "negative_same", "negative_other")


@dataclass(frozen=True)
class TupleOptions:
    """How many partners of each kind a view gets, positives first, and who may be one."""

    positive_same: int = 1
    positive_other: int = 1
    negative_same: int = 2
    negative_other: int = 2
    sets: SetOptions = field(default_factory=SetOptions)

    def __post_init__(self) -> None:
        if min(self.counts) < 0 or self.positives < 1 or sum(self.counts) == self.positives:
            raise ConfigurationError(
                f"expected a positive and a negative at least, in the same or the other domain; got {self}"
            )

    @property
    def counts(self) -> tuple[int, ...]:
        """Of each of KINDS."""
        return tuple(getattr(self, kind) for kind in KINDS)

    @property
    def positives(self) -> int:
        """Of a tuple: the first so many of its partners."""
        return self.positive_same + self.positive_other


class Partners:
    """Who may be drawn for each view, and how often a partner is drawn in an epoch if all are alike.

    Raises DatasetError if no view has both a positive and a negative.
    """

    def __init__(self, table: SimilarityTable, options: TupleOptions) -> None:
        self.options = options
        sets = contrastive_sets(
            table.distance.astype(float), table.metres.astype(float), table.simulated, options.sets
        )
        masks = [getattr(sets, kind) for kind in KINDS]
        self.candidates = [[np.flatnonzero(row) for row in mask] for mask in masks]
        self.expected = [
            _expected_draws(mask, count) for mask, count in zip(masks, options.counts, strict=True)
        ]
        asked = [mask.any(axis=1) & (count > 0) for mask, count in zip(masks, options.counts, strict=True)]
        self.feasible: NDArray[np.bool_] = (asked[0] | asked[1]) & (asked[2] | asked[3])
        if not self.feasible.any():
            raise DatasetError(
                f"none of {len(table.names)} views has a positive and a negative: expected larger "
                "near_share, near_back_share, near_metres, far_share or far_back_share"
            )

    def draw(self, view: int, generator: np.random.Generator) -> tuple[Indices, NDArray[np.bool_]]:
        """Partners (K,) of a view, the rarer the likelier, and which of them exist; the others are itself."""
        partners = np.full(sum(self.options.counts), view, np.int64)
        exist = np.zeros(len(partners), np.bool_)
        start = 0
        for kind, count in enumerate(self.options.counts):
            pool = self.candidates[kind][view]
            size = min(count, len(pool))
            if size:
                partners[start : start + size] = draw_rare_first(generator, self.expected[kind], pool, size)
                exist[start : start + size] = True
            start += count
        return partners, exist


class ContrastiveTuples(Dataset):
    """The samples of `anchors` with those of `everyone` (all views of the set) as partners.

    To a sample are added

        partners  (K, C, H, W) float32  images of its partners, positives first
        exist     (K,)         bool     which of them there are; shapes are constant

    A view without a positive gets itself under another augmentation. Raises DatasetError if the table is of
    other views, ConfigurationError if `everyone` is not all of the set.
    """

    def __init__(
        self,
        anchors: SceneViews,
        table: SimilarityTable,
        options: TupleOptions,
        everyone: SceneViews,
    ) -> None:
        table.check_names(anchors.names, anchors.shards.url)
        if sum(everyone.group_sizes()) != len(table.names):
            raise ConfigurationError(f"expected all {len(table.names)} views of the set as partners")
        self.anchors, self.everyone, self.options = anchors, everyone, options
        self.partners = Partners(table, options)

    @property
    def meta(self) -> Any:
        """What the index says of the set."""
        return self.anchors.meta

    def group_sizes(self) -> list[int]:
        return self.anchors.group_sizes()

    def kinds(self) -> NDArray[np.int64]:
        return self.anchors.kinds()

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        anchor = self.anchors.sample(group, item, generator)
        number = int(anchor["number"])
        partners, exist = self.partners.draw(number, generator)
        if not exist[: self.options.positives].any():
            exist[0] = True  # itself, seen in another way
        images = [self._image(int(n), generator) for n in partners]
        return {**anchor, "partners": np.stack(images), "exist": exist}

    def _image(self, number: int, generator: np.random.Generator) -> NDArray[np.float32]:
        shards = len(self.everyone.shards.sizes)
        sample = self.everyone.sample(number % shards, number // shards, generator)
        if int(sample["number"]) != number:
            raise DatasetError(f"image {number} of the set is not in its place; prepare the set again")
        return np.asarray(sample["image"], np.float32)


def _expected_draws(mask: NDArray[np.bool_], count: int) -> NDArray[np.float64]:
    """How often each view (V,) is drawn when every row draws `count` of its candidates evenly."""
    sizes = mask.sum(axis=1)
    chance = np.minimum(count, sizes) / np.maximum(sizes, 1)
    return np.asarray(chance @ mask.astype(np.float64))
