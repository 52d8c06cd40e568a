"""Prioritised replay: samples that are still hard are drawn more often, and weigh less for it.

Schaul, Quan, Antonoglou and Silver, "Prioritized Experience Replay", ICLR 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError

Array = NDArray[np.float64]


def replay_probabilities(
    errors: ArrayLike, alpha: float = 0.6, floor: float = 1e-6, rank_based: bool = False
) -> Array:
    """P(i) = p_i^alpha / sum p^alpha (N,) with p_i = |error| + floor, or 1 / rank of |error| (largest: 1).

    Raises ConfigurationError for errors that are not finite, or none.
    """
    magnitude = np.abs(np.asarray(errors, float))
    if magnitude.ndim != 1 or not len(magnitude) or not np.isfinite(magnitude).all():
        raise ConfigurationError(
            f"expected finite errors (N > 0,), got {magnitude.shape}; drop NaN losses first"
        )
    priority = magnitude + floor
    if rank_based:
        priority = np.empty_like(magnitude)
        priority[np.argsort(-magnitude, kind="stable")] = 1 / np.arange(1, len(magnitude) + 1)
    weight = priority**alpha
    return np.asarray(weight / weight.sum())


def importance_weights(probabilities: Array, beta: float) -> Array:
    """(N P(i))^-beta, divided by its largest (N,): what the loss of a sample is multiplied by.

    `beta` 0 leaves the bias of the drawing in, 1 removes it; anneal it from 0.4 to 1.
    """
    weight = (len(probabilities) * probabilities) ** -beta
    return np.asarray(weight / weight.max())


def stratified_draw(probabilities: Array, uniforms: Array) -> NDArray[np.int64]:
    """One index from each of K equal parts of the cumulative sum; `uniforms` (K,) in [0, 1)."""
    at = (np.arange(len(uniforms)) + uniforms) / len(uniforms)
    found = np.searchsorted(np.cumsum(probabilities), at * probabilities.sum(), side="right")
    return np.asarray(np.minimum(found, len(probabilities) - 1), np.int64)
