"""Which views may be drawn as positives and negatives of an anchor, by geometric distance and domain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SetOptions:
    """Shares of a ranking: the nearest `positive` that rank the anchor within `positive_back` themselves
    and lie within `positive_metres`, and the furthest `negative` that rank it in their furthest
    `negative_back`."""

    positive: float = 0.01
    positive_back: float = 0.05
    positive_metres: float = 150.0
    negative: float = 0.05
    negative_back: float = 0.05


@dataclass(frozen=True)
class ContrastiveSets:
    """Masks (V, V), row: anchor, column: partner, of the same domain (real or simulated) or of the other."""

    positive_same: Mask
    positive_other: Mask
    negative_same: Mask
    negative_other: Mask

    @property
    def feasible(self) -> NDArray[np.int64]:
        """Anchors that have partners of all four kinds."""
        kinds = (self.positive_same, self.positive_other, self.negative_same, self.negative_other)
        return np.flatnonzero(np.logical_and.reduce([k.any(axis=1) for k in kinds]))


def contrastive_sets(
    distance: Array,
    metres: Array,
    simulated: Mask,
    options: SetOptions | None = None,
    compat: bool = False,
) -> ContrastiveSets:
    """Partners by distances (V, V) and metres between the cameras (V, V); `simulated` (V,) is the domain.

    The way back is judged by the place of the anchor among the views of its own domain. `compat`: by its
    place among all views, the candidate first, compared with a share of the anchor's domain alone, as in
    TransPose.
    """
    options = options or SetOptions()
    masks = np.zeros((4, *distance.shape), np.bool_)
    everyone = _ranks(distance)
    for anchor in range(len(distance)):
        domain = simulated == simulated[anchor]
        for kind, members in enumerate((domain, ~domain)):
            candidates = np.flatnonzero(members & (np.arange(len(distance)) != anchor))
            order = candidates[np.argsort(distance[anchor, candidates], kind="stable")]
            size = int(domain.sum())
            back = everyone[order, anchor] if compat else _back(distance, order, anchor, domain)
            near = np.arange(len(order)) < math.ceil(options.positive * len(order))
            far = np.arange(len(order)) >= len(order) - math.ceil(options.negative * len(order))
            near &= (back < options.positive_back * size) & (metres[anchor, order] < options.positive_metres)
            far &= back >= (1 - options.negative_back) * size
            masks[kind, anchor, order[near]] = True
            masks[2 + kind, anchor, order[far]] = True
    return ContrastiveSets(*masks)


def _ranks(distance: Array) -> NDArray[np.int64]:
    """Place (V, V) of each column in the ranking of its row, nearest first."""
    order = np.argsort(distance, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(distance))[None], axis=1)
    return ranks


def _back(distance: Array, candidates: NDArray[np.int64], anchor: int, domain: Mask) -> NDArray[np.int64]:
    """Place (K,) of the anchor among the views of its domain in the rankings of the candidates."""
    nearer = distance[candidates] < distance[candidates, anchor][:, None]
    nearer[np.arange(len(candidates)), candidates] = False
    return np.asarray((nearer & domain).sum(axis=1))
