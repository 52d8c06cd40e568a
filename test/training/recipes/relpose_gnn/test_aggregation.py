"""Ways from edges to a pose, and whether what was said of them holds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from relpose_ros.checkpoints.graph import edges_into_query
from relpose_ros.geometry.edge_variances import variance_factors
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.graph_agreement import GraphCalibration, agreement
from relpose_ros.localization.query import Neighbour
from relpose_ros.types import Hypothesis
from relpose_training.recipes.relpose_gnn.aggregation import (
    FIRST,
    FUSED,
    NEAREST,
    ROBUST,
    answer,
    answers,
    finite_edges,
    says_covariances,
)
from relpose_training.recipes.relpose_gnn.coverage import Coverage
from relpose_training.recipes.relpose_gnn.predictions import PredictedGraph

FRAME = InSourceFrame()
NODES = 8
EDGES = np.array([[*range(1, NODES), 0], [*[0] * (NODES - 1), 1]])


def graph(
    seed: int, deviation: np.ndarray, error: np.ndarray | None = None, said: float = 1.0
) -> PredictedGraph:
    """Edges whose errors are twists in the source's frame with `deviation` (E, 6), or are `error` (E, 6);
    `said` times these deviations are said."""
    rng = np.random.default_rng(seed)
    poses = Rigid.from_rotation_vector(rng.normal(size=(NODES, 3)), 2 * rng.normal(size=(NODES, 3)))
    true = poses[EDGES[0]].inverse() @ poses[EDGES[1]]
    twist = rng.normal(size=deviation.shape) * deviation if error is None else error
    told = true.perturbed(-twist)
    relative = np.concatenate([told.translation, told.rotation_vector], axis=1)
    return PredictedGraph(0, np.arange(NODES), poses, EDGES, relative, 2 * np.log(said * deviation))


def all_like(seed: int, low: float = 0.05, high: float = 0.05) -> np.ndarray:
    """Deviations (E, 6), one an edge."""
    size = np.random.default_rng(seed + 10_000).uniform(np.log(low), np.log(high), (EDGES.shape[1], 1))
    return np.exp(size) * np.ones(6)


def far(one: PredictedGraph, way: str) -> float:
    return float(one.truth.distance_to(answer(one, FRAME).poses[way])[0])


def test_right_edges_give_the_right_pose_every_way():
    right = graph(0, all_like(0), error=np.zeros((NODES, 6)))
    for way in (FIRST, ROBUST, FUSED):
        assert far(right, way) < 1e-6
    assert far(right, NEAREST) == pytest.approx(right.truth.distance_to(right.map_from_node[1])[0])


def test_a_wrong_first_edge_is_outvoted():
    error = np.zeros((NODES, 6))
    error[0, 0] = 3.0
    wrong = graph(1, all_like(1), error=error)
    assert far(wrong, FIRST) == pytest.approx(3.0)
    assert far(wrong, ROBUST) < 1e-3 and far(wrong, FUSED) < 1e-2


def test_who_knows_what_is_sure_is_nearer():
    graphs = [graph(seed, all_like(seed, 0.01, 1.0)) for seed in range(40)]
    answers = [(one.truth, answer(one, FRAME).poses) for one in graphs]
    mean = {
        way: np.mean([true.distance_to(poses[way])[0] for true, poses in answers])
        for way in (FIRST, ROBUST, FUSED)
    }
    assert mean[FUSED] < 0.6 * mean[ROBUST] < 0.6 * mean[FIRST]


def test_covariances_are_turned_into_the_map():
    """Each edge knows one axis of its reference alone; together they know all."""
    deviation = np.full((NODES, 6), 0.02)
    deviation[np.arange(NODES), np.arange(NODES) % 3] = 2.0
    graphs = [graph(seed, deviation) for seed in range(20)]
    assert np.mean([far(one, FUSED) for one in graphs]) < 0.05
    assert np.mean([far(one, FIRST) for one in graphs]) > 1.0


def test_edges_that_are_no_numbers_are_left_out():
    one = graph(2, all_like(2), error=np.zeros((NODES, 6)))
    one.relative[0, 1] = np.nan
    one.log_variance[3, 0] = np.inf
    kept = finite_edges(one)
    assert kept.edges.shape == (2, NODES - 2) and far(kept, FIRST) < 1e-6
    one.relative[:] = np.nan
    nothing = finite_edges(one)
    assert not len(nothing.into_query())
    assert all(np.isnan(far(nothing, way)) for way in (FIRST, ROBUST, FUSED))
    assert np.isfinite(far(nothing, NEAREST))


def test_only_some_covariances_are_the_networks_own():
    one = graph(3, all_like(3))
    assert says_covariances(one, FRAME)
    assert not says_covariances(replace(one, log_variance=None), FRAME)
    assert not says_covariances(one, VectorDifference())


def test_the_fused_pose_is_what_a_robot_takes_in_a_map_that_taught_the_same():
    """Through `GraphPredictor` and `agreement`, with the factors that the other half of a scene gives."""
    deviation = np.full((NODES, 6), 0.05)
    deviation[:, 3:] = 0.02
    said = [0.5, 0.5, 0.5, 3.0, 3.0, 3.0]
    graphs = []
    for seed in range(12):
        one = graph(seed, deviation)
        graphs.append(replace(one, log_variance=one.log_variance + 2 * np.log(said)))
    found = answers(graphs, FRAME)
    factors = variance_factors(*taught(graphs[1::2]))
    assert factors[0] == pytest.approx(4, rel=0.4) and factors[1] == pytest.approx(1 / 9, rel=0.4)
    for one, other in zip(graphs[::2], found[::2], strict=True):
        robot = on_a_robot(one, GraphCalibration(*factors))
        np.testing.assert_allclose(other.poses[FUSED].matrix, robot.map_from_camera.matrix, atol=1e-12)


def taught(graphs: list[PredictedGraph]) -> tuple[np.ndarray, np.ndarray]:
    """Errors and said covariances of the edges into the queries."""
    errors, covariances = [], []
    for one in graphs:
        chosen = one.into_query()
        told = Rigid.from_rotation_vector(one.relative[chosen, 3:], one.relative[chosen, :3])
        true = one.map_from_node[one.edges[0, chosen]].inverse() @ one.truth
        errors.append(told.error_to(true))
        covariances.append(np.exp(one.log_variance[chosen])[:, :, None] * np.eye(6))
    return np.concatenate(errors), np.concatenate(covariances)


def on_a_robot(one: PredictedGraph, calibration: GraphCalibration) -> Hypothesis:
    """What the road of a map with these references makes of it."""
    references = one.map_from_node[1:]
    edges = edges_into_query(FRAME, one.edges, one.relative, one.log_variance, references)
    landmarks = SimpleNamespace(points=np.zeros((0, 3)))
    map_ = SimpleNamespace(visible=[np.zeros(0, int)] * NODES, landmarks=landmarks, depth=2.0)
    neighbours = [Neighbour(k, str(k), 1.0, references[k]) for k in range(NODES - 1)]
    found = agreement(map_, neighbours, edges, calibration, 100.0)
    assert found is not None
    return found


def coverage(graphs: list[PredictedGraph]) -> Coverage:
    found = Coverage.of(graphs, [answer(one, FRAME).fused for one in graphs], "gaussian")
    assert found is not None
    return found


def test_right_covariances_hold_the_truth_as_often_as_they_say():
    found = coverage([graph(seed, all_like(seed, 0.02, 0.2)) for seed in range(100)])
    for name in ("edges, translation", "edges, rotation", "edges"):
        part = found.parts[name]
        assert part.share(0.5) == pytest.approx(0.5, abs=0.06) and part.share(0.95) > 0.92, name
        assert part.stretch == pytest.approx(1, abs=0.15)
    assert found.parts["edges, translation"].knows > 0.6
    assert found.parts["poses, edges independent"].share(0.95) > 0.87
    assert found.nll < found.nll_constant


def test_too_small_covariances_are_seen():
    found = coverage([graph(seed, all_like(seed), said=0.5) for seed in range(50)])
    assert found.parts["edges"].stretch == pytest.approx(4, rel=0.2)
    assert found.parts["edges"].share(0.95) < 0.5
    assert found.parts["edges, translation"].knows is None, "all are equally sure"


def test_edges_that_err_together_are_seen():
    """The same error in the map for all edges of a graph: seven opinions are worth one."""
    graphs = []
    for seed in range(80):
        one = graph(seed, all_like(seed))
        twist = 0.05 * np.random.default_rng(seed + 500).normal(size=6)
        believed = one.map_from_node[0].perturbed(-twist)
        told = one.map_from_node[EDGES[0]].inverse() @ Rigid.stack([believed] * NODES)
        relative = np.concatenate([told.translation, told.rotation_vector], axis=1)
        graphs.append(replace(one, relative=relative))
    parts = coverage(graphs).parts
    assert parts["poses, edges err together"].share(0.95) == pytest.approx(0.95, abs=0.06)
    assert parts["poses, edges independent"].share(0.95) < 0.3


def test_there_is_no_coverage_of_what_was_not_said():
    one = replace(graph(0, all_like(0)), log_variance=None)
    assert Coverage.of([one], [answer(one, FRAME).fused]) is None
