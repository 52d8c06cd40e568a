"""Pieces of a matcher: where they may begin and end, and that they say what the whole says."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.imp.adagmn import AdaGMN
from relpose_ros.networks.imp.dgnns import DGNNS
from relpose_ros.networks.imp.graph_matcher import GM
from relpose_ros.networks.imp.part import part
from relpose_ros.networks.imp.pooling import received_attention
from relpose_ros.networks.imp.state import MatchingState


@pytest.mark.parametrize(
    ("network", "iterations", "stops"),
    [(DGNNS, 7, [4, 6, 7]), (DGNNS, 6, [4, 6]), (DGNNS, 3, [3]), (GM, 7, [7])],
)
def test_the_loops_stop_where_attention_was_shared_and_at_the_end(network, iterations, stops):
    assert network(iterations=7, descriptor_size=8).stops(iterations) == stops


def test_a_piece_is_in_the_mode_of_its_network():
    network = AdaGMN(iterations=6, descriptor_size=8).eval()
    assert not part(network, 0, 4).training and part(network.train(), 0, 4).training


def test_pieces_one_after_the_other_are_the_whole():
    network = AdaGMN(iterations=6, descriptor_size=16).eval()
    first, second = (torch.randn(2, 16, n, generator=torch.Generator().manual_seed(n)) for n in (9, 7))
    with torch.no_grad():
        half = network.advance(MatchingState(first, second), 4)
        whole = network.advance(half, 2)
        *between, own0, other0, own1, other1 = part(network, 0, 4)(first, second)
        *last, _, _, _, _ = part(network, 4, 6)(*between)
    assert torch.equal(last[0], whole.descriptors0) and torch.equal(last[1], whole.descriptors1)
    got = received_attention(half.attention)
    queries = (9, 7, 7, 9)
    for ours, theirs, asking in zip(
        (own0, other0, own1, other1), (got.own0, got.other0, got.own1, got.other1), queries, strict=True
    ):
        assert torch.equal(ours, theirs)
        torch.testing.assert_close(ours.sum(dim=1), torch.full((2,), 4.0 * asking))


@pytest.mark.parametrize(("start", "stop"), [(3, 6), (4, 4), (0, 7), (-1, 4)])
def test_no_piece_begins_with_the_attention_of_another(start, stop):
    with pytest.raises(ConfigurationError, match="begin with an attention of their own"):
        part(AdaGMN(iterations=6, descriptor_size=8), start, stop)
