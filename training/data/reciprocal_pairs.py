"""k-reciprocal re-ranking of chosen pairs among many items, without matrices of all against all.

What `retrieval.rerank.k_reciprocal_distances` gives for these pairs; memory grows with N k1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.retrieval.rerank import (
    RerankOptions,
    expanded_neighbours,
    nearer_count,
    reciprocal_neighbours,
)

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

BLOCK = 256
"""Items whose distances to all others are held at once."""


class Encoding(NamedTuple):
    """Weights, summing to 1, on the expanded reciprocal neighbours of an item, and of these the numbers."""

    members: Indices
    weights: Floats


class ReciprocalPairs:
    """Re-ranked distances of pairs of N items.

    `ranking` (N, k1 + 1): the nearest to each item, itself among them, nearest first; `largest` (N,): its
    largest distance. `distances(items)` gives those (n, N) of n items to all. `power`: of these, 1 where they
    are squared Euclidean ones. Raises ConfigurationError unless k2 is 1: there is no query expansion here.
    """

    def __init__(
        self,
        ranking: Indices,
        largest: Floats,
        distances: Callable[[Sequence[int]], Floats],
        options: RerankOptions,
        power: int = 1,
    ) -> None:
        if options.k2 != 1:
            raise ConfigurationError(f"re-ranking of pairs expects k2=1, got {options.k2}")
        self.options, self.power = options, power
        self._ranking, self._distances = ranking, distances
        self._largest = np.maximum(largest.astype(np.float64) ** power, np.finfo(np.float32).tiny)
        half = nearer_count(options.k1)
        self._nearer = cache(lambda item: reciprocal_neighbours(self._ranking, item, half))

    def rerank(self, pairs: Sequence[tuple[int, Indices]]) -> list[Floats]:
        """For each item and some others (P,), the re-ranked distances (P,) of these."""
        items = sorted({item for item, _ in pairs} | {int(o) for _, others in pairs for o in others})
        wanted = dict(pairs)
        codes: dict[int, Encoding] = {}
        plain: dict[int, Floats] = {}
        for start in range(0, len(items), BLOCK):
            block = items[start : start + BLOCK]
            for item, row in zip(block, self._distances(block), strict=True):
                scaled = (row.astype(np.float64) ** self.power / self._largest[item]).astype(np.float32)
                codes[item] = self._encode(item, scaled)
                if item in wanted:
                    plain[item] = scaled[wanted[item]]
        weight = np.float32(self.options.distance_weight)
        return [
            (1 - weight) * np.array([_jaccard(codes[item], codes[int(o)]) for o in others], np.float32)
            + weight * plain[item]
            for item, others in pairs
        ]

    def _encode(self, item: int, scaled: Floats) -> Encoding:
        members = reciprocal_neighbours(self._ranking, item, self.options.k1)
        expanded = expanded_neighbours(members, [self._nearer(int(j)) for j in members])
        weights = np.exp(-scaled[expanded])
        return Encoding(expanded, weights / weights.sum())


def _jaccard(a: Encoding, b: Encoding) -> float:
    """Jaccard distance of two weightings."""
    _, in_a, in_b = np.intersect1d(a.members, b.members, assume_unique=True, return_indices=True)
    shared = float(np.minimum(a.weights[in_a], b.weights[in_b]).sum())
    return 1 - shared / (2 - shared)
