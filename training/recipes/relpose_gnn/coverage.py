"""Do predicted covariances hold the truth, of single edges and of the pose that they give together?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from relpose_ros.evaluation.consistency import LEVELS
from relpose_ros.geometry.pose_fusion import FusedPose
from relpose_ros.geometry.rigid import Rigid
from relpose_training.losses.relative_pose_nll import Distribution
from relpose_training.recipes.relpose_gnn.predictions import PredictedGraph
from relpose_training.recipes.relpose_gnn.scores import constant_nll, edge_scores

Array = NDArray[np.float64]

TRANSLATION, ROTATION, WHOLE = slice(0, 3), slice(3, 6), slice(0, 6)


@dataclass(frozen=True)
class Consistency:
    """`squared` (M,): squared Mahalanobis distances of errors of `freedom` numbers.

    `knows`: Spearman's rank correlation of said deviations and errors: 1 where the surest is the best.
    """

    squared: Array
    freedom: int
    knows: float | None = None

    def share(self, level: float) -> float:
        """Of errors within the region said to hold `level` of them; a right covariance gives `level`."""
        return float((self.squared < stats.chi2.ppf(level, self.freedom)).mean())

    @property
    def stretch(self) -> float:
        """What variances would have to be multiplied by, for the median of `squared` to be chi-square's."""
        return float(np.median(self.squared) / stats.chi2.median(self.freedom))

    def to_dict(self) -> dict[str, Any]:
        """For results.json."""
        shares = {f"{level:g}": self.share(level) for level in LEVELS}
        values = {"count": len(self.squared), "shares": shares, "stretch": self.stretch}
        return {**values, "rank_correlation": self.knows}


@dataclass(frozen=True)
class Coverage:
    """`parts`: what was said -> whether it holds. `nll`: mean -ln p of the edges into queries, without its
    constant, and `nll_constant` of the best constant (`scores.constant_nll`)."""

    parts: dict[str, Consistency]
    nll: float
    nll_constant: float

    @classmethod
    def of(
        cls,
        graphs: Sequence[PredictedGraph],
        fused: Sequence[FusedPose | None],
        distribution: Distribution = "laplace",
    ) -> Coverage | None:
        """Of graphs and, where their edges have covariances, of the fused poses; None if none has."""
        pairs = [(graph, pose) for graph, pose in zip(graphs, fused, strict=True) if pose is not None]
        if not pairs:
            return None
        scores = edge_scores([graph for graph, _ in pairs], distribution)
        parts = {**_edge_parts([graph for graph, _ in pairs]), **_pose_parts(pairs)}
        return cls(parts, float(scores["nll"].mean()), constant_nll(scores["truth"], distribution))

    def to_dict(self) -> dict[str, Any]:
        """For results.json."""
        parts = {name: part.to_dict() for name, part in self.parts.items()}
        return {"parts": parts, "nll": self.nll, "nll_constant": self.nll_constant}


def _edge_parts(graphs: Sequence[PredictedGraph]) -> dict[str, Consistency]:
    both = [_edge_errors(graph) for graph in graphs]
    twist, deviation = (np.concatenate(values) for values in zip(*both, strict=True))
    named = {"edges, translation": TRANSLATION, "edges, rotation": ROTATION, "edges": WHOLE}
    out = {}
    for name, numbers in named.items():
        error, said = twist[:, numbers], deviation[:, numbers]
        squared = np.square(error / said).sum(axis=1)
        knows = None if numbers == WHOLE else _rank_correlation(said, error)
        out[name] = Consistency(squared, error.shape[1], knows)
    return out


def _edge_errors(graph: PredictedGraph) -> tuple[Array, Array]:
    """Of the edges into the query: twists (N, 6) to the truth and said deviations (N, 6), in the source's
    frame."""
    assert graph.log_variance is not None
    chosen = graph.into_query()
    said, true = (
        Rigid.from_rotation_vector(vectors[chosen, 3:], vectors[chosen, :3])
        for vectors in (graph.relative, graph.true_relative())
    )
    return said.error_to(true), np.exp(graph.log_variance[chosen] / 2)


def _pose_parts(pairs: Sequence[tuple[PredictedGraph, FusedPose]]) -> dict[str, Consistency]:
    """Of fused poses: as if edges erred independently, and as if each graph had a single error in common."""
    twists = np.stack([pose.pose.error_to(graph.truth) for graph, pose in pairs])
    apart = np.stack([pose.covariance * pose.excess for _, pose in pairs])
    together = np.stack([max(pose.worth, 1.0) for _, pose in pairs])[:, None, None] * apart
    named = {"poses, edges independent": apart, "poses, edges err together": together}
    return {name: _pose_part(twists, covariance) for name, covariance in named.items()}


def _pose_part(twists: Array, covariance: Array) -> Consistency:
    solved = np.linalg.solve(covariance, twists[..., None])[..., 0]
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)[:, :3])
    return Consistency((twists * solved).sum(axis=1), 6, _rank_correlation(deviation, twists[:, :3]))


def _rank_correlation(deviation: Array, error: Array) -> float | None:
    """Of lengths; None where one of the two does not vary."""
    said, found = np.linalg.norm(deviation, axis=1), np.linalg.norm(error, axis=1)
    if len(said) < 3 or np.ptp(said) == 0 or np.ptp(found) == 0:
        return None
    return float(stats.spearmanr(said, found).statistic)
