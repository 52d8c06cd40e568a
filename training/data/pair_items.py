"""One image pair as what a step takes: static shapes, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_training.data.context_order import Order, Rng, context_indices
from relpose_training.data.pair_correspondences import PairCorrespondences
from relpose_training.data.virtual_points import virtual_correspondences

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PairItem:
    """N correspondences: the input of n-to-n networks, context and candidates of one-to-one networks."""

    correspondences: Array  # (N, width)
    distances: Array  # (N,): squared symmetric epipolar distance to the true geometry
    rotation: Array  # (3, 3): second_from_first
    direction: Array  # (3,): unit translation second_from_first
    virtual: Array  # (400, 4): ideal correspondences, see `virtual_correspondences`


def make_item(
    pair: PairCorrespondences,
    size: int,
    order: Order = "given",
    rng: Rng | None = None,
    *,
    width: int = 6,
    compat: bool = False,
    virtual: Array | None = None,
) -> PairItem:
    """`size` correspondences of `pair` in `order`; `rng` and `compat`: see `context_indices`.

    `virtual` (400, 4), if it was computed before: that takes longer than all the rest.
    """
    indices = context_indices(pair.points, size, order, rng, compat=compat)
    if virtual is None:
        virtual = virtual_correspondences(pair.essential())
    chosen = pair.features(width)[indices]
    return PairItem(chosen, pair.distances[indices], pair.rotation, pair.direction, virtual)
