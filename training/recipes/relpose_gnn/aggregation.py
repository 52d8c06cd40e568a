"""Several relative poses -> where the query is, in the ways that a test compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from relpose_ros.checkpoints.graph import Edges, edges_into_query
from relpose_ros.geometry.averaging import robust_mean
from relpose_ros.geometry.edge_variances import Factors, scaled, variance_factors
from relpose_ros.geometry.pose_fusion import FusedPose, fused_from_references
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors
from relpose_ros.geometry.rigid import Rigid
from relpose_training.recipes.relpose_gnn.predictions import PredictedGraph

FIRST, ROBUST, FUSED, NEAREST = "first edge", "robust mean", "as on a robot", "best reference"

WAYS = {
    FIRST: "what the first edge into the query says, as published",
    ROBUST: "geometric medians of what all edges into it say",
    FUSED: "their mean weighted by their covariances, less for those that disagree; variances multiplied by "
    "two factors that the scene's other queries taught, as held-out references teach them in a map",
    NEAREST: "the pose of the most similar reference itself, which needs no network",
}
"""Name -> what it is."""

NOWHERE = Rigid(np.eye(3), np.full(3, np.nan))
UNCHANGED: Factors = (1.0, 1.0)


@dataclass(frozen=True)
class Answers:
    """map_from_query by each way, `NOWHERE` where no edge says anything; `fused`: what gave `FUSED`, where
    covariances are the network's own."""

    poses: dict[str, Rigid]
    fused: FusedPose | None = None


def says_covariances(graph: PredictedGraph, convention: RelativeVectors) -> bool:
    """Whether its covariances are its own: log variances are of poses in the source's frame."""
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


def answers(graphs: Sequence[PredictedGraph], convention: RelativeVectors) -> list[Answers]:
    """The answers of graphs whose numbers are finite, in their order."""
    out: list[Answers | None] = [None] * len(graphs)
    for scene in {graph.scene for graph in graphs}:
        rows = [row for row, graph in enumerate(graphs) if graph.scene == scene]
        halves = rows[::2], rows[1::2]
        for asked, others in (halves, halves[::-1]):
            factors = _taught([graphs[row] for row in others], convention)
            for row in asked:
                out[row] = answer(graphs[row], convention, factors)
    return [one for one in out if one is not None]


def answer(graph: PredictedGraph, convention: RelativeVectors, factors: Factors = UNCHANGED) -> Answers:
    """The answers of a graph whose numbers are finite."""
    poses = {FIRST: NOWHERE, ROBUST: NOWHERE, FUSED: NOWHERE, NEAREST: graph.map_from_node[1]}
    edges = _edges(graph, convention)
    if not len(edges.references):
        return Answers(poses)
    references = _references(graph, edges)
    opinions = references @ edges.reference_from_query
    fused = fused_from_references(references, edges.reference_from_query, scaled(edges.covariance, factors))
    poses |= {FIRST: opinions[0], ROBUST: robust_mean(opinions).pose, FUSED: fused.pose}
    return Answers(poses, fused if says_covariances(graph, convention) else None)


def _taught(graphs: Sequence[PredictedGraph], convention: RelativeVectors) -> Factors:
    """Factors of the variances that make the errors of these graphs' edges as large as they should be."""
    errors, covariances = [np.zeros((0, 6))], [np.zeros((0, 6, 6))]
    for graph in graphs:
        edges = _edges(graph, convention)
        if len(edges.references):
            true = _references(graph, edges).inverse() @ graph.truth
            errors.append(edges.reference_from_query.error_to(true))
            covariances.append(edges.covariance)
    return variance_factors(np.concatenate(errors), np.concatenate(covariances))


def _edges(graph: PredictedGraph, convention: RelativeVectors) -> Edges:
    known = graph.map_from_node[1:]
    return edges_into_query(convention, graph.edges, graph.relative, graph.log_variance, known)


def _references(graph: PredictedGraph, edges: Edges) -> Rigid:
    return graph.map_from_node[edges.references + 1]
