"""Mutual nearest neighbours with a ratio test, by one matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Descriptors = NDArray[np.float32]

_ROUNDING = 1e-6
"""Of a squared distance computed from a float32 cosine."""


class FeatureMatches(NamedTuple):
    """`pairs` (M, 2) int: index in the first set, index in the second; `distances` (M,) L2."""

    pairs: NDArray[np.intp]
    distances: NDArray[np.float32]


@dataclass(frozen=True)
class NearestNeighbours:
    """For each of N descriptors: the nearest other one, and how it compares.

    `index` (N,); `distance` (N,) L2 to it; `ratio` (N,) of that to the second nearest
    (1 where there is no second); `mutual` (N,): whether it is also nearest the other way.
    """

    index: NDArray[np.intp]
    distance: NDArray[np.float32]
    ratio: NDArray[np.float32]
    mutual: NDArray[np.bool_]

    def passing(self, ratio: float) -> NDArray[np.intp]:
        """Those that are nearest both ways and whose ratio is below `ratio` (Lowe 2004), in order."""
        return np.flatnonzero(self.mutual & (self.ratio < ratio))


def nearest_neighbours(query: Descriptors, reference: Descriptors) -> NearestNeighbours:
    """Nearest of L2-normalised `reference` (M, D) to each of `query` (N, D), by cosine."""
    if not len(query) or not len(reference):
        empty = np.zeros(0, np.float32)
        return NearestNeighbours(np.zeros(0, np.intp), empty, empty, np.zeros(0, np.bool_))
    similarity = query @ reference.T
    rows = np.arange(len(query))
    index = similarity.argmax(axis=1)
    first = similarity[rows, index]
    mutual = first >= similarity.max(axis=0)[index]
    similarity[rows, index] = -np.inf
    second = similarity.max(axis=1)
    distance = np.sqrt(np.maximum(2.0 - 2.0 * first, 0.0))
    # Below the rounding error of the product two distances are equal, not in a ratio of 0 to 0.
    ratio = np.sqrt(np.maximum(2.0 - 2.0 * first, _ROUNDING) / np.maximum(2.0 - 2.0 * second, _ROUNDING))
    ratio = np.where(np.isfinite(second), ratio, 1.0)
    return NearestNeighbours(index, distance, ratio.astype(np.float32), mutual)


def match(query: Descriptors, reference: Descriptors, ratio: float = 0.85) -> FeatureMatches:
    """Match L2-normalised descriptors (N, D) and (M, D).

    A match is nearest both ways, and its distance is below `ratio` times that of the second
    nearest (Lowe 2004). Sorted by index in `query`.
    """
    nearest = nearest_neighbours(query, reference)
    kept = nearest.passing(ratio)
    return FeatureMatches(np.stack([kept, nearest.index[kept]], axis=1), nearest.distance[kept])
