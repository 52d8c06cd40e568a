"""Exactly N correspondences of a pair, in the order that a network wants them: static shapes for a TPU."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError

Order = Literal["given", "permuted", "shuffled", "disparity"]
"""given: as matched, repeated from the start when too few (EOT, model_CNN_cont_0).
permuted: a random order, repeated from the start when too few (n-to-n networks).
shuffled: all of them, random ones again when too few, in a random order (model_CNN_cont_1 and 2).
disparity: as shuffled, but by ascending |x1 - x2| (model_CNN_cont_3).
"""

Rng = np.random.Generator | np.random.RandomState


def context_indices(
    points: ArrayLike, size: int, order: Order, rng: Rng | None = None, *, compat: bool = False
) -> NDArray[np.int64]:
    """Indices (size,) of the correspondences `points` (n, 4 or more) to use, n > 0.

    More than `size`: a random choice without replacement, or, without `rng`, the first ones. All orders but
    "given" need `rng` when there are not more than `size`. `compat`: the original does not sort by
    disparity what it chose from more than `size`. Raises ConfigurationError.
    """
    count = len(np.asarray(points))
    if count == 0 or (rng is None and order != "given"):
        raise ConfigurationError(f"order {order!r} of {count} correspondences needs an rng and at least one")
    if order == "permuted" and rng is not None:
        return np.resize(rng.permutation(count), size)
    if rng is None:
        return np.resize(np.arange(count), size)
    if count > size:
        chosen = np.asarray(rng.choice(count, size, replace=False))
        return _by_disparity(points, chosen) if order == "disparity" and not compat else chosen
    if order == "given":
        return np.resize(np.arange(count), size)
    indices = _all_and_more(count, size, rng)
    if order == "shuffled":
        rng.shuffle(indices)
        return indices
    ranked = _by_disparity(points, np.arange(count))
    return ranked[np.sort(indices)]


def _all_and_more(count: int, size: int, rng: Rng) -> NDArray[np.int64]:
    """0 to count - 1 as often as fits into `size`, then random ones without repetition."""
    whole, rest = divmod(size, count)
    again = rng.choice(count, rest, replace=False) if rest else np.arange(0)
    return np.concatenate([*[np.arange(count)] * whole, again])


def _by_disparity(points: ArrayLike, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    chosen = np.asarray(points)[indices]
    disparity = np.linalg.norm(chosen[:, :2] - chosen[:, 2:4], axis=1)
    return indices[np.argsort(disparity, kind="stable")]
