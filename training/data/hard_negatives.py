"""Training tuples of image retrieval: a query, its best positive, and negatives that are hard to tell.

Arandjelovic et al., NetVLAD, CVPR 2016, section 4: negatives are the nearest of a random pool, together
with those that were chosen for the query last time.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.difficult_positives import difficult_positives

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class MiningOptions:
    """`negatives` a tuple, the hardest of `pool` random ones; for SFRS also up to `difficult` positives,
    of the `positive_pool` nearest. `seed` of the random pools."""

    negatives: int = 10
    pool: int = 1000
    difficult: int = 0
    positive_pool: int = 20
    seed: int = 43


class TrainingTuple(NamedTuple):
    """Numbers of a query and of gallery images; negatives hardest first."""

    query: int
    positive: int
    negatives: tuple[int, ...]
    difficult: tuple[int, ...] = ()

    def items(self, queries: int) -> list[int]:
        """The numbers in one list of `queries` queries and then the gallery, as OpenIBL counts."""
        gallery = (self.positive, *self.negatives, *self.difficult)
        return [self.query, *(queries + index for index in gallery)]


class HardNegatives:
    """Finds tuples, and remembers the negatives of each query for the next time.

    `positives` and `near` (that are no negatives): gallery indices of each query, as in `PlaceSplit`.
    Randomness comes from one generator: the same calls in the same order give the same tuples. Of several
    processes, each mines the whole chunk and then takes its share of the tuples, so that neither pools nor
    memory depend on their number. (OpenIBL's take their share of the queries first: so each draws the same
    pools for other queries, and forgets the negatives of queries that move to another.)
    """

    def __init__(
        self,
        positives: Sequence[ArrayLike],
        near: Sequence[ArrayLike],
        options: MiningOptions | None = None,
    ) -> None:
        self.options = options or MiningOptions()
        self._positives = [np.asarray(p, np.int64) for p in positives]
        self._near = [np.asarray(n, np.int64) for n in near]
        without = [i for i, found in enumerate(self._positives) if not len(found)]
        if without or len(self._positives) != len(self._near):
            raise DatasetError(
                f"expected positives and near images of every query, got lists of {len(self._positives)} and "
                f"{len(self._near)} queries, {len(without)} of them without positives; leave these out"
            )
        self._random = random.Random(self.options.seed)
        self._last: dict[int, Indices] = {}

    def mine(
        self, queries: Sequence[int], distances: ArrayLike, reranked: ArrayLike | None = None
    ) -> list[TrainingTuple]:
        """A tuple for each of `queries`; row i of `distances` (n, G) is that of query i of these n.

        Gallery images at an infinite distance were not looked at. `reranked` (n, G): other distances, by
        which difficult positives are found; without them, as in the first generation of SFRS, these are just
        the nearest. Raises ConfigurationError for other shapes or NaN, DatasetError where there are too few
        negatives.
        """
        rows = np.asarray(distances)
        others = rows if reranked is None else np.asarray(reranked)
        if rows.ndim != 2 or len(rows) != len(queries) or others.shape != rows.shape or np.isnan(rows).any():
            raise ConfigurationError(
                f"expected distances of {len(queries)} queries to the gallery, without NaN, "
                f"got {rows.shape} and {others.shape}"
            )
        return [self._tuple(q, row, other) for q, row, other in zip(queries, rows, others, strict=True)]

    def nearest_positives(self, query: int, row: NDArray[np.floating]) -> Indices:
        """The positives of a query, nearest first by its distances `row` (G,), up to `positive_pool`."""
        positives = self._positives[query]
        return positives[np.argsort(row[positives], kind="stable")][: self.options.positive_pool]

    def last_negatives(self, query: int) -> Indices:
        """The negatives that were chosen for a query last time."""
        return self._last.get(query, np.zeros(0, np.int64))

    def positives(self, query: int) -> Indices:
        """All gallery images of a query's place."""
        return self._positives[query]

    def are_negative(self, query: int, images: Indices) -> NDArray[np.bool_]:
        """Which of these gallery images are known not to show a query's place."""
        return ~np.isin(images, self._near[query])

    def state_dict(self) -> dict[str, Any]:
        """For a saved state: the generator, and the last negatives of each query."""
        version, internal, gauss_next = self._random.getstate()
        negatives = np.stack(list(self._last.values())) if self._last else np.zeros((0, 0), np.int64)
        return {
            "random": [version, list(internal), gauss_next],
            "queries": torch.tensor(list(self._last), dtype=torch.int64),
            "negatives": torch.from_numpy(negatives),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a saved state."""
        version, internal, gauss_next = state["random"]
        self._random.setstate((version, tuple(internal), gauss_next))
        pairs = zip(state["queries"].tolist(), state["negatives"].numpy(), strict=True)
        self._last = {query: negatives.copy() for query, negatives in pairs}

    def _tuple(self, query: int, row: NDArray[np.floating], reranked: NDArray[np.floating]) -> TrainingTuple:
        ranked = self.nearest_positives(query, row)
        found = difficult_positives(ranked, reranked, self.options.difficult)
        negatives = self._negatives(query, row)
        return TrainingTuple(query, int(ranked[0]), tuple(negatives.tolist()), tuple(found.tolist()))

    def _negatives(self, query: int, row: NDArray[np.floating]) -> Indices:
        allowed = np.isfinite(row)
        allowed[self._near[query]] = False
        order = np.argsort(row, kind="stable")
        candidates = order[allowed[order]]
        drawn = self._random.sample(range(len(candidates)), min(self.options.pool, len(candidates)))
        in_pool = np.zeros(len(row), bool)
        in_pool[candidates[drawn]] = True
        in_pool[self.last_negatives(query)] = True
        hardest: Indices = candidates[in_pool[candidates]][: self.options.negatives]
        if len(hardest) < self.options.negatives:
            raise DatasetError(
                f"query {query}: expected {self.options.negatives} negatives, {len(hardest)} of {len(row)} "
                "gallery images are far enough away and in the pool; take fewer, or a larger pool"
            )
        self._last[query] = hardest
        return hardest
