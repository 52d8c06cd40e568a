"""Recall@N of image retrieval: for how many queries one of the first N gallery images is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

AT = (1, 5, 10)
"""The N that the literature reports."""

MISSED = -1
"""Rank of the right answer where there is none."""

VIEWS_OF_PLACE = 12
"""With one answer a place, so many times max(N) results are looked at: Tokyo 24/7 has 12 views a panorama."""


def squared_distances(queries: ArrayLike, gallery: ArrayLike) -> Floats:
    """|q|^2 + |g|^2 - 2 q.g of descriptors (Q, D) and (G, D) -> (Q, G), never below 0.

    Raises ConfigurationError when the two do not fit together.
    """
    q, g = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    if q.ndim != 2 or g.ndim != 2 or q.shape[1] != g.shape[1]:
        raise ConfigurationError(f"expected descriptors (Q, D) and (G, D), got {q.shape} and {g.shape}")
    norms = np.square(q).sum(axis=1)[:, None] + np.square(g).sum(axis=1)
    return np.asarray(np.maximum(norms - 2 * (q @ g.T), 0), np.float32)


def nearest_first(distances: ArrayLike, count: int | None = None) -> Indices:
    """Gallery indices (Q, count) by distance (Q, G); of equals, the lower index first."""
    values = np.asarray(distances)
    count = values.shape[1] if count is None else min(count, values.shape[1])
    return (
        np.stack([_nearest(row, count) for row in values]) if len(values) else np.zeros((0, count), np.int64)
    )


def _nearest(row: NDArray[np.floating], count: int) -> Indices:
    """The first `count` of a stable sort, without sorting everything."""
    if count == len(row):
        return np.argsort(row, kind="stable")
    if not count:
        return np.zeros(0, np.int64)
    candidates = np.flatnonzero(row <= np.partition(row, count - 1)[count - 1])
    return candidates[np.argsort(row[candidates], kind="stable")][:count]


def first_of_each_place(ranking: ArrayLike, places: ArrayLike) -> Indices:
    """Of gallery indices (K,), best first, those whose place was not there before.

    `places` (G,): the place of each gallery image.
    """
    ranked = np.asarray(ranking, np.int64)
    _, first = np.unique(np.asarray(places)[ranked], return_index=True)
    return ranked[np.sort(first)]


def recalls(
    distances: ArrayLike,
    positives: Sequence[ArrayLike],
    at: Sequence[int] = AT,
    places: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Share of queries with a positive among their N nearest, for each N of `at`.

    `distances` (Q, G), any measure that ranks; `positives`: right gallery indices of each query, a query
    without any counts as missed. With `places` (G,) there is one answer a place, as Tokyo 24/7 is scored.
    Raises ConfigurationError when shapes do not fit, or a distance is NaN.
    """
    values = np.asarray(distances)
    if values.ndim != 2 or len(values) != len(positives) or not len(values) or not at or min(at) < 1:
        raise ConfigurationError(
            f"expected distances (Q, G) and positives of Q > 0 queries, N from 1, got {values.shape}, "
            f"{len(positives)} and {tuple(at)}"
        )
    if places is not None and np.shape(places) != values.shape[1:]:
        raise ConfigurationError(f"expected {values.shape[1]} places, got {np.shape(places)}")
    if np.isnan(values).any():
        raise ConfigurationError("expected distances, got NaN; check the descriptors")
    looked_at = max(at) if places is None else max(at) * VIEWS_OF_PLACE
    ranks = []
    for ranking, right in zip(nearest_first(values, looked_at), positives, strict=True):
        ranks.append(first_right(ranking if places is None else first_of_each_place(ranking, places), right))
    return recalls_of_ranks(np.array(ranks), at)


def first_right(answers: ArrayLike, positives: ArrayLike) -> int:
    """Rank, from 0, of the first of the answers (K,) that is among the positives (P,); else MISSED."""
    right = np.flatnonzero(np.isin(np.asarray(answers), np.asarray(positives)))
    return int(right[0]) if len(right) else MISSED


def recalls_of_ranks(ranks: ArrayLike, at: Sequence[int] = AT) -> NDArray[np.float64]:
    """Share of the ranks (Q,) of `first_right` that are among the first N, for each N; NaN if Q is 0."""
    found = np.asarray(ranks)
    if not len(found):
        return np.full(len(at), np.nan)
    return np.array([np.mean((found != MISSED) & (found < n)) for n in at])
