"""Edges: order, nearest neighbours, means of what arrives."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.relpose_gnn.edges import (
    at_ends,
    full_edges,
    fully_connected,
    incoming_mean,
    nearest_edges,
)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_full_graph_has_every_ordered_pair_once(count):
    pairs = fully_connected(count)
    assert len(pairs) == len(set(pairs)) == count * (count - 1)
    assert all(a != b for a, b in pairs)


def test_the_second_half_of_a_full_graph_is_the_first_reversed():
    pairs = fully_connected(4)
    assert pairs[:6] == [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3)]
    assert pairs[6:] == [(b, a) for a, b in pairs[:6]]


def test_full_edges_are_the_same_in_every_graph_of_a_batch():
    edges = full_edges(3, 4, torch.device("cpu"))
    assert edges.shape == (3, 2, 12)
    assert (edges == edges[:1]).all()


def test_nearest_edges_come_from_the_nearest_first():
    x = torch.tensor([0.0, 1.0, 3.0, 10.0])[None, :, None]
    assert nearest_edges(x, 2)[0].tolist() == [[1, 2, 0, 2, 1, 0, 2, 1], [0, 0, 1, 1, 2, 2, 3, 3]]


def test_nearest_edges_order_neighbours_that_a_gram_matrix_confuses():
    """Far from the origin |a|^2 + |b|^2 - 2ab is all rounding."""
    x = (torch.tensor([0.0, 0.5, -0.25]) + 4096.0)[None, :, None].expand(-1, -1, 8)
    assert nearest_edges(x, 1)[0, 0].tolist() == [2, 0, 0]


def test_no_more_neighbours_than_there_are():
    assert nearest_edges(torch.randn(1, 3, 4), 9).shape == (1, 2, 6)


def test_the_choice_has_no_gradient_and_works_in_bfloat16():
    x = torch.randn(1, 4, 8, requires_grad=True)
    assert not nearest_edges(x, 2).requires_grad
    assert nearest_edges(x.bfloat16(), 2).shape == (1, 2, 8)


def test_means_of_messages_and_zero_where_none_arrives():
    edges = torch.tensor([[[0, 1, 2], [1, 0, 1]]])
    messages = torch.tensor([[[2.0], [7.0], [4.0]]])
    assert incoming_mean(messages, edges[:, 1], 3)[0, :, 0].tolist() == [7.0, 3.0, 0.0]
    keep = torch.tensor([[True, False, True]])
    assert incoming_mean(messages, edges[:, 1], 3, keep)[0, :, 0].tolist() == [0.0, 3.0, 0.0]


def test_features_at_the_ends_of_edges():
    x = torch.arange(6.0).reshape(2, 3, 1)
    assert at_ends(x, torch.tensor([[2, 0], [1, 1]]))[..., 0].tolist() == [[2.0, 0.0], [4.0, 4.0]]
