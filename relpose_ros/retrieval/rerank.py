"""k-reciprocal re-ranking of retrieved references.

Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class RerankOptions:
    """`k1` neighbours tested for reciprocity, `k2` averaged in the local query expansion, and
    `distance_weight` (lambda in the paper) of the original distance against the Jaccard distance."""

    k1: int = 20
    k2: int = 6
    distance_weight: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.distance_weight <= 1:
            raise ConfigurationError(
                f"expected k1 >= 1, k2 >= 1 and 0 <= distance_weight <= 1, got {self.k1}, {self.k2}, "
                f"{self.distance_weight}"
            )


def rerank(
    query: ArrayLike, candidates: ArrayLike, options: RerankOptions | None = None
) -> tuple[Indices, Floats]:
    """Re-rank the retrieved descriptors (C, D) of one query descriptor (D,), both L2-normalised.

    Returns the order (C,), best first, as indices into `candidates`, and their distances (C,)
    in that order. Time and memory grow with C^2: re-rank a shortlist, not a map.
    """
    both = np.concatenate([np.atleast_2d(np.asarray(query, float)), np.asarray(candidates, float)])
    euclidean = np.sqrt(np.maximum(2 - 2 * both @ both.T, 0))
    np.fill_diagonal(euclidean, 0)
    distances = k_reciprocal_distances(euclidean[:1, 1:], euclidean[:1, :1], euclidean[1:, 1:], options)[0]
    order = np.argsort(distances, kind="stable")
    return order, distances[order]


def k_reciprocal_distances(
    query_gallery: ArrayLike,
    query_query: ArrayLike,
    gallery_gallery: ArrayLike,
    options: RerankOptions | None = None,
) -> Floats:
    """Re-ranked distances (Q, G) from Euclidean distances (Q, G), (Q, Q) and (G, G).

    Raises ConfigurationError when the three do not fit together or are not finite.
    """
    options = options or RerankOptions()
    distance = _joint_distance(query_gallery, query_query, gallery_gallery)
    queries = len(np.asarray(query_query))
    encoding = _expanded_encoding(distance, options)
    jaccard = _jaccard(encoding[:queries], encoding[queries:])
    return _blended(jaccard, distance[:queries, queries:], options)


def k_reciprocal_distances_within(distances: ArrayLike, options: RerankOptions | None = None) -> Floats:
    """Re-ranked distances (V, V) of one set, each a query and in the gallery, from distances (V, V).

    Not symmetric: the distances that are mixed in are divided by the largest of the column's item. Raises
    ConfigurationError when they are not square or not finite.
    """
    options = options or RerankOptions()
    square = np.asarray(distances, float)
    if square.ndim != 2 or square.shape[0] != square.shape[1] or not len(square):
        raise ConfigurationError(f"expected distances (V, V), got {square.shape}")
    distance = _scaled_squares(square)
    encoding = _expanded_encoding(distance, options)
    return _blended(_jaccard(encoding, encoding), distance, options)


def _expanded_encoding(distance: Floats, options: RerankOptions) -> Floats:
    ranking = np.argsort(distance, axis=1, kind="stable")
    encoding = _encode(distance, ranking, options.k1)
    if options.k2 > 1:  # local query expansion: the mean over the k2 nearest, itself included
        encoding = np.stack([encoding[nearest].mean(axis=0) for nearest in ranking[:, : options.k2]])
    return encoding


def _blended(jaccard: Floats, distance: Floats, options: RerankOptions) -> Floats:
    weight = np.float32(options.distance_weight)
    blended: Floats = (1 - weight) * jaccard + weight * distance
    return blended


def _joint_distance(query_gallery: ArrayLike, query_query: ArrayLike, gallery_gallery: ArrayLike) -> Floats:
    """Squared distances (n, n) among queries and gallery; each row is divided by its largest."""
    qg, qq, gg = (np.asarray(m, float) for m in (query_gallery, query_query, gallery_gallery))
    q, g = qg.shape if qg.ndim == 2 else (-1, -1)
    if qq.shape != (q, q) or gg.shape != (g, g) or q < 1 or g < 1:
        raise ConfigurationError(
            f"expected distances (Q, G), (Q, Q) and (G, G), got {qg.shape}, {qq.shape} and {gg.shape}"
        )
    return _scaled_squares(np.block([[qq, qg], [qg.T, gg]]))


def _scaled_squares(distances: NDArray[np.float64]) -> Floats:
    """Squares (n, n), each row divided by its largest. Raises ConfigurationError if one is not finite."""
    squared = distances**2
    if not np.all(np.isfinite(squared)):
        raise ConfigurationError("expected finite distances, got NaN or infinity; check the descriptors")
    largest = np.maximum(squared.max(axis=0), np.finfo(np.float32).tiny)
    joint: Floats = (squared / largest).T.astype(np.float32)
    return joint


def _encode(distance: Floats, ranking: Indices, k1: int) -> Floats:
    """Each row (n, n): weights exp(-distance), summing to 1, on its expanded reciprocal neighbours."""
    near = [reciprocal_neighbours(ranking, i, k1) for i in range(len(ranking))]
    nearer = [reciprocal_neighbours(ranking, i, nearer_count(k1)) for i in range(len(ranking))]
    encoding = np.zeros_like(distance)
    for i, members in enumerate(near):
        expanded = expanded_neighbours(members, [nearer[j] for j in members])
        weights = np.exp(-distance[i, expanded])
        encoding[i, expanded] = weights / weights.sum()
    return encoding


def nearer_count(k1: int) -> int:
    """Of how many nearest the neighbours' own neighbours are: half of k1."""
    return int(np.around(k1 / 2))  # rounds halves to even, as the published results did


def expanded_neighbours(members: Indices, nearer: Sequence[Indices]) -> Indices:
    """Reciprocal neighbours (M,) of an item, and those of their own, `nearer`, that overlap enough."""
    close = [n for n in nearer if len(np.intersect1d(n, members)) > 2 / 3 * len(n)]
    return np.unique(np.concatenate([members, *close]))


def reciprocal_neighbours(ranking: Indices, item: int, k: int) -> Indices:
    """Those of the k nearest to `item` (and itself) that have it among their own k nearest.

    `ranking` (n, k + 1 or more): the nearest to each of n items, itself among them, nearest first.
    """
    nearest: Indices = ranking[item, : k + 1]
    mutual = (ranking[nearest, : k + 1] == item).any(axis=1)
    return np.asarray(nearest[mutual])


def _jaccard(queries: Floats, gallery: Floats) -> Floats:
    """Jaccard distances (Q, G) of weight vectors (Q, n) and (G, n) whose rows sum to 1."""
    shared = np.stack([np.minimum(query, gallery).sum(axis=1) for query in queries])
    distances: Floats = 1 - shared / (2 - shared)
    return distances
