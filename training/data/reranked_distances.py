"""Distances of descriptors after k-reciprocal re-ranking, for mining and for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.evaluation.retrieval_recall import squared_distances
from relpose_ros.retrieval.rerank import RerankOptions, k_reciprocal_distances

SFRS = RerankOptions(k1=20, k2=1, distance_weight=0.1)
"""With which SFRS looks for difficult positives."""

TEST = RerankOptions(k1=25, k2=1, distance_weight=0.0)
"""OpenIBL's default for tests."""


def reranked_distances(
    queries: ArrayLike, gallery: ArrayLike, options: RerankOptions = TEST, compat: bool = False
) -> NDArray[np.float32]:
    """Re-ranked distances (Q, G) of descriptors (Q, D) and (G, D); memory grows with (Q + G)^2.

    `compat`: as in OpenIBL, which hands squared distances to a function that squares them once more.
    """
    across, own_queries, own_gallery = (
        squared_distances(a, b) for a, b in ((queries, gallery), (queries, queries), (gallery, gallery))
    )
    if not compat:
        for own in (own_queries, own_gallery):
            np.fill_diagonal(own, 0)  # rounding leaves more, and its root is not small
        across, own_queries, own_gallery = np.sqrt(across), np.sqrt(own_queries), np.sqrt(own_gallery)
    return k_reciprocal_distances(across, own_queries, own_gallery, options)
