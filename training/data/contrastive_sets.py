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
    """Shares of a ranking: the nearest `positive` that rank the anchor within `positive_back` themselves,
    lie within `positive_metres` and are nearer than `positive_distance`, and the furthest `negative` that
    rank it in their furthest `negative_back`."""

    positive: float = 0.01
    positive_back: float = 0.05
    positive_metres: float = 150.0
    negative: float = 0.05
    negative_back: float = 0.05
    positive_distance: float = math.inf


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

    The way back is judged by the place of the anchor among the views of its own domain. Views that are as
    far as one of the furthest (those without any overlap) are so, too, and never positives. `compat`: the way
    back by its place among all views, the candidate first, compared with a share of the anchor's domain
    alone, and ties as they come, as in TransPose.
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
            near = np.arange(len(order)) < math.ceil(options.positive * len(order))
            far = np.arange(len(order)) >= len(order) - math.ceil(options.negative * len(order))
            if compat:
                back = everyone[order, anchor]
                far &= back >= (1 - options.negative_back) * size
            else:
                away = distance[anchor, order]
                back, behind = _way_back(distance, order, anchor, domain)
                far |= away >= away[far].min(initial=math.inf)
                far &= behind < options.negative_back * size
                near &= away < min(away.max(initial=0), options.positive_distance)
            near &= (back < options.positive_back * size) & (metres[anchor, order] < options.positive_metres)
            masks[kind, anchor, order[near]] = True
            masks[2 + kind, anchor, order[far]] = True
    return ContrastiveSets(*masks)


def _ranks(distance: Array) -> NDArray[np.int64]:
    """Place (V, V) of each column in the ranking of its row, nearest first."""
    order = np.argsort(distance, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(distance))[None], axis=1)
    return ranks


def _way_back(
    distance: Array, candidates: NDArray[np.int64], anchor: int, domain: Mask
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of the anchor's domain are nearer to each candidate than the anchor, how many further (K,)."""
    others = domain & (np.arange(len(distance)) != anchor)
    rows, here = distance[candidates], distance[candidates, anchor][:, None]
    counts = []
    for beside in (rows < here, rows > here):
        beside[np.arange(len(candidates)), candidates] = False
        counts.append(np.asarray((beside & others).sum(axis=1)))
    return counts[0], counts[1]
