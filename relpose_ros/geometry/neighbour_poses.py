"""Where a query is, from its poses relative to references whose own poses are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.geometry.averaging import AveragedPose, robust_mean
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors
from relpose_ros.geometry.rigid import Rigid

Indices = NDArray[np.int64]


def incoming_edges(edges: ArrayLike, node: int = 0) -> Indices:
    """Positions of the edges that end at `node`, of `edges` (2, E) with sources and targets."""
    return np.flatnonzero(np.asarray(edges)[1] == node)


def opinions(
    edges: ArrayLike,
    relative: ArrayLike,
    map_from_node: Rigid,
    convention: RelativeVectors | None = None,
    query: int = 0,
) -> Rigid:
    """What each edge into the query says map_from_query is, in the order of the edges.

    `edges` (2, E) int, `relative` (E, 6) as `convention` says (default: in the source's frame),
    `map_from_node` (K,), of which the query's own entry is not read. Raises ValueError where they do
    not fit, or no edge ends at the query.
    """
    ends, vectors = np.asarray(edges), np.asarray(relative, float)
    if ends.shape != (2, len(vectors)) or vectors.shape[1:] != (6,):
        raise ValueError(f"expected edges (2, E) and relative (E, 6), got {ends.shape} and {vectors.shape}")
    chosen = incoming_edges(ends, query)
    if not len(chosen):
        raise ValueError(f"expected at least one edge that ends at node {query}, got none of {ends.shape[1]}")
    convention = convention or InSourceFrame()
    return convention.read_target(map_from_node[ends[0, chosen]], vectors[chosen])


def pose_from_neighbours(
    edges: ArrayLike,
    relative: ArrayLike,
    map_from_node: Rigid,
    convention: RelativeVectors | None = None,
    query: int = 0,
    weights: ArrayLike | None = None,
) -> AveragedPose:
    """map_from_query by the robust mean of all edges into the query.

    Arguments and errors as `opinions`; `weights` (E,) >= 0 say how much each edge is trusted.
    """
    every = opinions(edges, relative, map_from_node, convention, query)
    if weights is not None:
        weights = np.asarray(weights, float)[incoming_edges(edges, query)]
    return robust_mean(every, weights)


def pose_from_first_neighbour(
    edges: ArrayLike,
    relative: ArrayLike,
    map_from_node: Rigid,
    convention: RelativeVectors | None = None,
    query: int = 0,
) -> Rigid:
    """Compat: map_from_query by the first edge into the query alone, as RelPoseGNN was evaluated."""
    return opinions(edges, relative, map_from_node, convention, query)[0]
