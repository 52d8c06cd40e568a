"""Image pairs from shards of correspondences, as the one-to-one networks and their losses take them.

Every sample is one image pair, N = `size` correspondences, whatever the number that was matched:

    correspondences  (N, width) float32  x1 y1 x2 y2 on the plane z = 1 [, ratio, mutual]
    labels_distance  (N,)       float32  squared symmetric epipolar distance to the truth; inlier: below 1e-4
    R                (3, 3)     float32  second_from_first
    t                (3,)       float32  direction of second_from_first, length 1
    virtual_points   (400, 4)   float32  ideal correspondences of the truth (the geometric loss)
    sequence         ()         int64    where the pair is from: index into `names`

The layouts differ in the order of the correspondences alone. n_to_n: "permuted". one_to_one: the N are
the context and the candidates both, `network(correspondences, correspondences)`. The published input
(N, 2, N, width), which repeats each candidate N times (201 MB a pair), is never made: see
`relpose_ros.networks.one_to_one.candidates`. The order of each published model type: `models.MODELS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from relpose_ros.errors import DatasetError
from relpose_training.data.context_order import Order
from relpose_training.data.pair_correspondences import PairCorrespondences
from relpose_training.data.pair_items import make_item
from relpose_training.data.shards import Sample, ShardSet
from relpose_training.data.stream import Dataset

Layout = Literal["n_to_n", "one_to_one"]

FIELDS = ("xs", "ys", "ratios", "mutuals", "R", "t")
DEFAULT_ORDER: dict[Layout, Order] = {"n_to_n": "permuted", "one_to_one": "given"}


class CorrespondencePairs(Dataset):
    """The pairs of these shards (default: all), each with `size` correspondences in `order`.

    `order` None: that of the layout. `compat`: see `context_indices`. Raises DatasetError if the shards
    hold something else.
    """

    def __init__(
        self,
        shards: ShardSet,
        size: int,
        layout: Layout = "n_to_n",
        *,
        order: Order | None = None,
        width: int = 6,
        numbers: Sequence[int] | None = None,
        compat: bool = False,
    ) -> None:
        self.shards, self.size, self.width, self.compat = shards, size, width, compat
        self.order: Order = order or DEFAULT_ORDER[layout]
        self.numbers = list(range(len(shards.sizes)) if numbers is None else numbers)
        self._check()

    @property
    def names(self) -> list[str]:
        """The sequences that the pairs are from; `sequence` of a sample is an index into them."""
        return [str(name) for name in self.shards.index.meta.get("sequences", [])]

    def group_sizes(self) -> list[int]:
        return [self.shards.sizes[number] for number in self.numbers]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        stored = self.shards.shard(self.numbers[group]).sample(item)
        pair = stored_pair(stored)
        if not len(pair):
            raise DatasetError(f"{self._name(group)}: pair {item} has no correspondences; prepare it again")
        made = make_item(
            pair, self.size, self.order, generator,
            width=self.width, compat=self.compat, virtual=stored.get("virtual"),
        )  # fmt: skip
        return {
            "correspondences": made.correspondences,
            "labels_distance": made.distances,
            "R": made.rotation,
            "t": made.direction,
            "virtual_points": made.virtual,
            "sequence": stored.get("sequence", np.zeros(1)).reshape(()).astype(np.int64),
        }

    def _name(self, group: int) -> str:
        return f"{self.shards.url}/{self.shards.index.shards[self.numbers[group]].file}"

    def _check(self) -> None:
        """Refuse shards of something else before a run starts."""
        stored = self.shards.shard(self.numbers[0]).sample(0)
        missing = [name for name in FIELDS if name not in stored]
        if missing or stored["xs"].shape[1:] != (4,):
            raise DatasetError(
                f"{self._name(0)}: expected correspondences ({', '.join(FIELDS)}), found "
                f"{', '.join(stored)}; make them with `relpose prepare correspondences`"
            )


def stored_pair(stored: Sample) -> PairCorrespondences:
    """The correspondences of one sample of a shard, all of them."""
    return PairCorrespondences(*(stored[name] for name in FIELDS))
