"""A query's pose from relative poses: all edges against the first one, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.neighbour_poses import (
    incoming_edges,
    opinions,
    pose_from_first_neighbour,
    pose_from_neighbours,
)
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.geometry.rigid import Rigid

WAYS = [InSourceFrame(), VectorDifference()]
EDGES = np.array([[0, 3, 1, 2, 4, 1], [1, 0, 0, 0, 0, 2]])
"""Of node 0: one edge out, four in, and one that does not touch it."""


@pytest.fixture
def nodes() -> Rigid:
    generator = np.random.default_rng(0)
    return Rigid.from_rotation_vector(generator.normal(0, 0.5, (5, 3)), generator.normal(0, 3, (5, 3)))


def relative_to(nodes: Rigid, way) -> np.ndarray:
    return way.write(nodes[EDGES[0]], nodes[EDGES[1]])


@pytest.mark.parametrize("way", WAYS, ids=["source", "difference"])
def test_true_relative_poses_give_the_true_pose(nodes, way):
    relative = relative_to(nodes, way)
    for pose in (
        pose_from_neighbours(EDGES, relative, nodes, way).pose,
        pose_from_first_neighbour(EDGES, relative, nodes, way),
    ):
        np.testing.assert_allclose(pose.matrix, nodes[0].matrix, atol=1e-8)


def test_the_querys_own_pose_is_not_read(nodes):
    relative = relative_to(nodes, InSourceFrame())
    places = nodes.translation.copy()
    places[0] = 99.0
    blind = Rigid(nodes.rotation, places)
    found = pose_from_neighbours(EDGES, relative, blind).pose
    np.testing.assert_allclose(found.translation, nodes.translation[0], atol=1e-8)


def test_a_wrong_first_edge_ruins_compat_alone(nodes):
    relative = relative_to(nodes, InSourceFrame())
    relative[1] += 5.0
    robust = pose_from_neighbours(EDGES, relative, nodes)
    np.testing.assert_allclose(robust.pose.matrix, nodes[0].matrix, atol=1e-6)
    assert robust.distance[0] > 1
    assert pose_from_first_neighbour(EDGES, relative, nodes).distance_to(nodes[0])[0] > 1


def test_averaging_is_nearer_than_one_edge(nodes):
    generator = np.random.default_rng(1)
    truth = relative_to(nodes, InSourceFrame())
    errors = []
    for _ in range(60):
        relative = truth + generator.normal(0, 0.1, truth.shape)
        both = (
            pose_from_neighbours(EDGES, relative, nodes).pose,
            pose_from_first_neighbour(EDGES, relative, nodes),
        )
        errors.append([pose.distance_to(nodes[0])[0] for pose in both])
    fused, single = np.median(errors, axis=0)
    assert fused < 0.7 * single


def test_weights_are_those_of_the_edges(nodes):
    relative = relative_to(nodes, InSourceFrame())
    relative[[2, 3, 4]] += 1.0
    weights = np.array([9.0, 1.0, 0.0, 0.0, 0.0, 9.0])
    found = pose_from_neighbours(EDGES, relative, nodes, weights=weights).pose
    np.testing.assert_allclose(found.matrix, nodes[0].matrix, atol=1e-8)


def test_opinions_come_in_the_order_of_the_edges(nodes):
    assert incoming_edges(EDGES).tolist() == [1, 2, 3, 4]
    assert incoming_edges(EDGES, 2).tolist() == [5]
    assert len(opinions(EDGES, relative_to(nodes, InSourceFrame()), nodes)) == 4


@pytest.mark.parametrize(
    ("edges", "shape", "query"),
    [(EDGES, (5, 6), 0), (EDGES, (6, 7), 0), (EDGES, (6, 6), 4), (EDGES[0], (6, 6), 0)],
)
def test_what_does_not_fit_is_refused(nodes, edges, shape, query):
    with pytest.raises(ValueError, match="expected"):
        pose_from_neighbours(edges, np.zeros(shape), nodes, query=query)
