"""Graphs of queries and references, and the edges that training drops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.colour_statistics import CAMBRIDGE
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.edge_dropout import random_edges
from relpose_training.data.graphs import GraphOptions, Graphs, neighbour_table, pair_targets

CAMERA = Camera("pinhole", 50.0, 50.0, 32.0, 24.0, 64, 48)
OPTIONS = GraphOptions(neighbours=3, period=1, halving=False, height=24)


def image(number: int, width: int = 64) -> PosedImage:
    pose = Rigid.from_rotation_vector([0.1 * number, 0, 0.2], [number, 1.0, 0])
    pixels = np.full((48, width, 3), number, np.uint8)
    return PosedImage(f"{number}.png", CAMERA, pose, "map", lambda: pixels)


def graphs(options: GraphOptions = OPTIONS, references=None, **more) -> Graphs:
    references = references or [image(n) for n in range(6)]
    table = np.array([[3, 1, 5], [0, 2, 4]])
    return Graphs([image(10), image(11)], references, table, CAMBRIDGE, options, **more)


def test_a_sample_is_the_query_then_its_references():
    sample = graphs()[0]
    assert sample.names == ("10.png", "3.png", "1.png", "5.png")
    assert sample.images.shape == (4, 3, 24, 32)
    np.testing.assert_allclose(
        sample.images[:, 0, 0, 0], (np.array([10, 3, 1, 5]) / 255 - 0.5) / 0.25, atol=1e-6
    )
    assert sample.map_from_node.translation[:, 0].tolist() == [10, 3, 1, 5]


@pytest.mark.parametrize("way", [InSourceFrame(), VectorDifference()])
def test_targets_lead_from_source_to_target(way):
    sample = graphs(convention=way)[1]
    found = way.read_target(sample.map_from_node[2], sample.pairs[2, 0])
    np.testing.assert_allclose(found.matrix, sample.map_from_node[0].matrix, atol=1e-5)
    assert np.abs(pair_targets(sample.map_from_node, way)[1, 1]).max() < 1e-7


def test_shuffling_moves_references_together_with_their_poses_and_repeats():
    shuffling = graphs(GraphOptions(3, 1, False, height=24, shuffle=True))
    orders = {shuffling.sample(0, epoch).names for epoch in range(20)}
    assert len(orders) > 3
    assert all(
        order[0] == "10.png" and set(order) == {"10.png", "3.png", "1.png", "5.png"} for order in orders
    )
    assert shuffling.sample(0, 3).names == shuffling.sample(0, 3).names
    sample = shuffling.sample(0, 3)
    assert [f"{int(x)}.png" for x in sample.map_from_node.translation[:, 0]] == list(sample.names)


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


def test_images_of_different_shapes_and_missing_poses_are_refused():
    mixed = [image(n, 80 if n == 1 else 64) for n in range(6)]
    with pytest.raises(DatasetError, match="one shape"):
        graphs(references=mixed)[0]
    unposed = [PosedImage("x", CAMERA, None, "map", image(0).load)] * 6
    with pytest.raises(DatasetError, match="expected a pose"):
        graphs(references=unposed)[0]


def test_a_table_of_other_queries_is_refused():
    with pytest.raises(DatasetError, match="for each of 1 queries"):
        Graphs([image(0)], [image(1)], np.zeros((2, 3), np.int64), CAMBRIDGE)


def test_edge_dropout_keeps_about_its_share_and_repeats():
    edges = torch.zeros(50, 2, 56, dtype=torch.int64)
    keep = random_edges(edges, 0.5, torch.Generator().manual_seed(0))
    assert keep.shape == (50, 56)
    assert 0.45 < keep.float().mean() < 0.55
    assert torch.equal(keep, random_edges(edges, 0.5, torch.Generator().manual_seed(0)))
    assert random_edges(edges, 1.0).all()
