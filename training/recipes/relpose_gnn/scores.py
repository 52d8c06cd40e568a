"""How good predicted graphs are: errors of poses, likelihood of edges, beside what looks at nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.geometry.relative_vectors import RelativeVectors
from relpose_training.losses.relative_pose_nll import Distribution, relative_pose_nll
from relpose_training.recipes.relpose_gnn.aggregation import FIRST, FUSED, answers, finite_edges
from relpose_training.recipes.relpose_gnn.predictions import PredictedGraph

Array = NDArray[np.float64]


def pose_errors(
    graphs: Sequence[PredictedGraph], convention: RelativeVectors, first: bool = False
) -> dict[str, Array]:
    """Of each graph (N,): `translation` and `rotation`, metres and degrees, of the pose that a robot takes
    (`aggregation.FUSED`), or that the first edge says, infinite where no edge is finite;
    `nearest_translation` and `nearest_rotation` of the best reference's own."""
    way = FIRST if first else FUSED
    found = answers([finite_edges(graph) for graph in graphs], convention)
    rows = []
    for graph, one in zip(graphs, found, strict=True):
        known = np.isfinite(one.poses[way].translation).all()
        error = graph.truth.distance_to(one.poses[way]) if known else (np.inf, np.inf)
        rows.append((*error, *graph.truth.distance_to(graph.map_from_node[1])))
    far, turned, near, near_turned = np.asarray(rows, float).reshape(-1, 4).T
    return {
        "translation": far,
        "rotation": np.degrees(turned),
        "nearest_translation": near,
        "nearest_rotation": np.degrees(near_turned),
    }


def edge_scores(graphs: Sequence[PredictedGraph], distribution: Distribution) -> dict[str, Array]:
    """Of edges into queries: `nll` (M,), as `relative_pose_nll`, `truth` (M, 6), what they should say, and
    `first` (M,) bool, whether they come from the best reference."""
    nll, truth, first = [np.zeros(0)], [np.zeros((0, 6))], [np.zeros(0, bool)]
    for graph in graphs:
        if graph.log_variance is None:
            raise ValueError("expected predictions with an uncertainty, got some without")
        chosen, true = graph.into_query(), graph.true_relative()
        told, sure, wanted = (torch.from_numpy(v[chosen]) for v in (graph.relative, graph.log_variance, true))
        nll.append(relative_pose_nll(told, sure, wanted, distribution).numpy())
        truth.append(true[chosen])
        first.append(graph.edges[0, chosen] == 1)
    return {"nll": np.concatenate(nll), "truth": np.concatenate(truth), "first": np.concatenate(first)}


def constant_nll(truth: Array, distribution: Distribution) -> float:
    """Mean -ln p of true edges (M, 6) under the best constant with the best deviations.

    What could be said without looking, by one who knew these very edges.
    """
    if distribution == "gaussian":
        return float((np.log(truth.std(axis=0)) + 0.5).sum())
    away = np.abs(truth - np.median(truth, axis=0)).mean(axis=0)
    return float((np.log(np.sqrt(2) * away) + 1).sum())
