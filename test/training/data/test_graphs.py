"""References of queries, targets of edges, and the edges that training drops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.edge_dropout import random_edges
from relpose_training.data.graphs import GraphOptions, neighbour_table, pair_targets

OPTIONS = GraphOptions(neighbours=3, period=1, halving=False)


@pytest.mark.parametrize("way", [InSourceFrame(), VectorDifference()])
def test_targets_lead_from_source_to_target(way):
    poses = Rigid.from_rotation_vector(np.eye(3)[[0, 1, 2, 0]] * 0.3, np.arange(12.0).reshape(4, 3))
    pairs = pair_targets(poses, way)
    found = way.read_target(poses[2], pairs[2, 0])
    np.testing.assert_allclose(found.matrix, poses[0].matrix, atol=1e-5)
    assert np.abs(pairs[1, 1]).max() < 1e-7


def test_no_image_is_its_own_reference():
    similarity = np.random.default_rng(0).random((60, 60)) + 5 * np.eye(60)
    for halving in (True, False):
        options = GraphOptions(neighbours=3, period=2, halving=halving)
        table = neighbour_table(similarity, options, same=True)
        assert not (table == np.arange(60)[:, None]).any()
        assert (table == neighbour_table(similarity, options, same=True)).all()


def test_without_halving_the_best_reference_is_kept():
    similarity = np.random.default_rng(0).random((4, 30))
    assert (neighbour_table(similarity, OPTIONS)[:, 0] == similarity.argmax(axis=1)).all()


def test_too_short_a_ranking_is_refused():
    with pytest.raises(DatasetError, match="expected 7 references"):
        neighbour_table(np.ones((1, 10)), GraphOptions(period=5))


def test_no_queries_make_an_empty_table():
    assert neighbour_table(np.zeros((0, 10)), OPTIONS).shape == (0, 3)


def test_edge_dropout_keeps_about_its_share_and_repeats():
    edges = torch.zeros(50, 2, 56, dtype=torch.int64)
    keep = random_edges(edges, 0.5, torch.Generator().manual_seed(0))
    assert keep.shape == (50, 56)
    assert 0.45 < keep.float().mean() < 0.55
    assert torch.equal(keep, random_edges(edges, 0.5, torch.Generator().manual_seed(0)))
    assert random_edges(edges, 1.0).all()
