"""Positives that a network finds difficult and re-ranking does not: what SFRS learns from.

Ge et al., Self-supervising Fine-grained Region Similarities for Large-scale Image Localization, ECCV 2020.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


def difficult_positives(ranked: ArrayLike, reranked: ArrayLike, count: int) -> Indices:
    """Up to `count` of the gallery indices `ranked` (P,), which are in order of distance.

    `reranked` (G,): distances of all gallery images after re-ranking. The positives that these promote most
    come first, then those that they leave where they are; those that fall behind are left out.
    """
    order = np.asarray(ranked, np.int64)
    promoted = np.argsort(np.asarray(reranked)[order], kind="stable")  # old ranks by new rank
    gap = np.arange(len(order)) - promoted
    chosen = np.argsort(gap, kind="stable")[: int((gap <= 0).sum())]
    return order[promoted[chosen]][:count]
