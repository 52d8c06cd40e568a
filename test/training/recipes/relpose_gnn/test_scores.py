"""Scores of predicted graphs: where they are right, and what looking at nothing gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from relpose_ros.geometry.relative_vectors import InSourceFrame
from relpose_ros.geometry.rigid import Rigid
from relpose_training.losses.relative_pose_nll import relative_pose_nll
from relpose_training.recipes.relpose_gnn.predictions import PredictedGraph
from relpose_training.recipes.relpose_gnn.scores import (
    constant_nll,
    edge_scores,
    pose_errors,
)

EDGES = np.array([[1, 2, 3, 0], [0, 0, 0, 1]])


def graph(seed=0, error=0.0, log_variance=-2.0) -> PredictedGraph:
    """A right one of four nodes, but for the first edge, whose translation is off by `error` metres."""
    rng = np.random.default_rng(seed)
    poses = Rigid.from_rotation_vector(rng.normal(size=(4, 3)), rng.normal(size=(4, 3)))
    relative = InSourceFrame().write(poses[EDGES[0]], poses[EDGES[1]])
    relative[0, 0] += error
    return PredictedGraph(0, np.arange(4), poses, EDGES, relative, np.full((4, 6), log_variance))


def test_right_edges_give_the_right_pose():
    errors = pose_errors([graph()], InSourceFrame())
    assert errors["translation"][0] < 1e-6 and errors["rotation"][0] < 1e-4
    one = graph()
    near = one.truth.distance_to(one.map_from_node[1])
    assert errors["nearest_translation"][0] == near[0]
    assert errors["nearest_rotation"][0] == pytest.approx(np.degrees(near[1]))


def test_one_wrong_edge_of_three_is_outvoted_unless_it_alone_is_asked():
    wrong = [graph(error=3.0, log_variance=-6.0)]
    assert pose_errors(wrong, InSourceFrame())["translation"][0] < 0.05
    assert pose_errors(wrong, InSourceFrame(), first=True)["translation"][0] == pytest.approx(3.0)


def test_edges_into_the_query_are_scored():
    found = edge_scores([graph(), graph(1, error=0.5)], "laplace")
    assert found["nll"].shape == (6,) and found["truth"].shape == (6, 6)
    np.testing.assert_allclose(np.delete(found["nll"], 3), -6.0, atol=1e-6)
    assert found["nll"][3] == pytest.approx(-6.0 + np.sqrt(2) * 0.5 * np.e)
    assert found["first"].tolist() == [True, False, False] * 2


def test_the_best_reference_is_a_node_and_not_a_place_among_edges():
    """Edges from nearest nodes come in any order, and need not come from it."""
    one = graph(error=0.5)
    turned = replace(one, edges=one.edges[:, ::-1], relative=one.relative[::-1].copy())
    found = edge_scores([turned], "laplace")
    assert found["first"].tolist() == [False, False, True] and np.argmax(found["nll"]) == 2
    without = replace(one, edges=one.edges[:, 1:], relative=one.relative[1:], log_variance=np.zeros((3, 6)))
    assert not edge_scores([without], "laplace")["first"].any()


def test_the_pose_goes_by_what_edges_say_of_themselves():
    """Two of three edges agree on a wrong pose, and say that they do not know."""
    unsure = graph()
    wrong = Rigid(unsure.truth.rotation, unsure.truth.translation + np.array([3.0, 0, 0]))
    for edge in range(2):
        unsure.relative[edge] = InSourceFrame().write(unsure.map_from_node[EDGES[0, edge]], wrong)
    unsure.log_variance[:2] = 6.0
    assert pose_errors([unsure], InSourceFrame())["translation"][0] < 0.1
    mute = replace(unsure, log_variance=None)
    assert pose_errors([mute], InSourceFrame())["translation"][0] > 0.5
    assert all(len(values) == 0 for values in pose_errors([], InSourceFrame()).values())


def test_a_graph_that_says_no_number_is_infinitely_wrong():
    nothing = graph()
    nothing.relative[:] = np.nan
    found = pose_errors([nothing, graph()], InSourceFrame())
    assert np.isinf([found["translation"][0], found["rotation"][0]]).all()
    assert found["translation"][1] < 1e-6


@pytest.mark.parametrize("distribution", ["gaussian", "laplace"])
def test_no_constant_is_better_than_the_best(distribution):
    truth = np.random.default_rng(0).normal(size=(40, 6)) * [1, 2, 3, 0.1, 0.2, 0.3] + 1
    best = constant_nll(truth, distribution)
    rng = np.random.default_rng(1)
    target = torch.from_numpy(truth)

    def cost(constant, deviation):
        # Translations alone: the twist of rotation vectors is not their difference.
        said = target.clone()
        said[:, :3] = torch.from_numpy(constant)
        log_variance = torch.from_numpy(2 * np.log(deviation)).expand(40, 6)
        return float(relative_pose_nll(said, log_variance, target, distribution).mean())

    still = np.ones(6)
    mean = constant_nll(truth[:, :3], distribution)
    for _ in range(50):
        deviation = np.concatenate([np.exp(rng.normal(0, 1, 3)), still[3:]])
        assert cost(rng.normal(1, 0.5, 3), deviation) > mean - 1e-9
    assert np.isfinite(best)


def test_predictions_without_an_uncertainty_have_no_likelihood():
    one = graph()
    bare = PredictedGraph(one.scene, one.nodes, one.map_from_node, one.edges, one.relative, None)
    with pytest.raises(ValueError, match="uncertainty"):
        edge_scores([bare], "laplace")
