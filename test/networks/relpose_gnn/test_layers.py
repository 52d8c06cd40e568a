"""One round of message passing against its plain formula."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.relpose_gnn.edges import full_edges
from relpose_ros.networks.relpose_gnn.layers import ChannelAttention, MessageLayer, TwoEndedLayer

NODES, NODE, EDGE = 5, 16, 24


@pytest.fixture
def graph():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, NODES, NODE, generator=generator)
    edges = full_edges(2, NODES, x.device)
    return x, torch.randn(2, edges.shape[2], EDGE, generator=generator), edges


def plain_round(layer: MessageLayer, x, e, edges):
    """Edge by edge, with concatenations, as the paper writes it."""
    e = torch.stack(
        [layer.edge_model.edge_mlp(torch.cat([x[s], x[t], f])) for s, t, f in zip(*edges, e, strict=True)]
    )
    messages = [layer.att(layer.mlp(torch.cat([x[s], f]))) for s, f in zip(edges[0], e, strict=True)]
    updated = []
    for node in range(len(x)):
        arrived = [m for m, t in zip(messages, edges[1], strict=True) if t == node]
        updated.append(layer.mlp_updating(torch.cat([x[node], torch.stack(arrived).mean(0)])))
    return torch.stack(updated), e


def test_a_round_is_the_plain_formula(graph):
    torch.manual_seed(0)
    layer, (x, e, edges) = MessageLayer(NODE, EDGE, NODE), graph
    nodes, updated = layer(x, e, edges)
    for item in range(2):
        plain_nodes, plain_edges = plain_round(layer, x[item], e[item], edges[item])
        torch.testing.assert_close(nodes[item], plain_nodes)
        torch.testing.assert_close(updated[item], plain_edges)


@pytest.mark.parametrize("kind", [MessageLayer, TwoEndedLayer])
def test_nodes_in_another_order_give_the_same_in_that_order(kind, graph):
    torch.manual_seed(0)
    layer, (x, e, edges) = kind(NODE, EDGE, NODE), graph
    order = torch.tensor([3, 0, 4, 1, 2])
    place = order.argsort()
    nodes, updated = layer(x, e, edges)
    moved, same = layer(x[:, order], e, place[edges])
    torch.testing.assert_close(moved, nodes[:, order])
    torch.testing.assert_close(same, updated)


@pytest.mark.parametrize("kind", [MessageLayer, TwoEndedLayer])
def test_dropped_edges_are_as_if_not_there(kind, graph):
    torch.manual_seed(0)
    layer, (x, e, edges) = kind(NODE, EDGE, NODE), graph
    keep = torch.arange(edges.shape[2]) % 3 > 0
    nodes, _ = layer(x, e, edges, keep[None].expand(2, -1))
    alone, _ = layer(x, e[:, keep], edges[:, :, keep])
    torch.testing.assert_close(nodes, alone)


def test_attention_mixes_the_channels_of_one_vector_alone():
    torch.manual_seed(0)
    attention, x = ChannelAttention(16), torch.randn(3, 7, 16)
    torch.testing.assert_close(attention(x)[1, 2], attention(x[1, 2]))
    assert not torch.allclose(attention(x), x)
