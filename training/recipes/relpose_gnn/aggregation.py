"""Several relative poses -> where the query is, in the ways that a test compares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.averaging import robust_mean
from relpose_ros.geometry.pose_fusion import FusedPose, fused_pose, moved_covariance
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors
from relpose_ros.geometry.rigid import Rigid
from relpose_training.recipes.relpose_gnn.predictions import PredictedGraph

Array = NDArray[np.float64]

FIRST, ROBUST, WEIGHTED, NEAREST = "first edge", "robust mean", "weighted mean", "best reference"

WAYS = {
    FIRST: "what the first edge into the query says, as published",
    ROBUST: "geometric medians of what all edges into it say",
    WEIGHTED: "their mean weighted by the predicted covariances, less for those that disagree",
    NEAREST: "the pose of the most similar reference itself, which needs no network",
}
"""Name -> what it is."""

NOWHERE = Rigid(np.eye(3), np.full(3, np.nan))


@dataclass(frozen=True)
class Answers:
    """map_from_query by each way, `NOWHERE` where no edge says anything; `fused` where covariances did."""

    poses: dict[str, Rigid]
    fused: FusedPose | None = None


def says_covariances(graph: PredictedGraph, convention: RelativeVectors) -> bool:
    """Whether its edges can be weighted: log variances are of poses in the source's frame."""
    return graph.log_variance is not None and isinstance(convention, InSourceFrame)


def finite_edges(graph: PredictedGraph) -> PredictedGraph:
    """The graph without edges whose numbers are not finite."""
    sure = graph.log_variance
    numbers = graph.relative if sure is None else np.concatenate([graph.relative, sure], axis=1)
    fine = np.isfinite(numbers).all(axis=1)
    if fine.all():
        return graph
    kept = None if sure is None else sure[fine]
    return replace(graph, edges=graph.edges[:, fine], relative=graph.relative[fine], log_variance=kept)


def answer(graph: PredictedGraph, convention: RelativeVectors) -> Answers:
    """The answers of a graph whose numbers are finite."""
    poses = {FIRST: NOWHERE, ROBUST: NOWHERE}
    weighted = says_covariances(graph, convention)
    if weighted:
        poses[WEIGHTED] = NOWHERE
    poses[NEAREST] = graph.map_from_node[1]
    if not len(graph.into_query()):
        return Answers(poses)
    opinions = graph.opinions(convention)
    poses |= {FIRST: opinions[0], ROBUST: robust_mean(opinions).pose}
    if not weighted:
        return Answers(poses)
    fused = fused_pose(opinions, _covariances(graph))
    return Answers({**poses, WEIGHTED: fused.pose}, fused)


def _covariances(graph: PredictedGraph) -> Array:
    """Of the opinions, (N, 6, 6) in the axes of the map."""
    assert graph.log_variance is not None
    chosen = graph.into_query()
    own = np.exp(graph.log_variance[chosen])[:, :, None] * np.eye(6)
    return moved_covariance(own, graph.map_from_node[graph.edges[0, chosen]])
