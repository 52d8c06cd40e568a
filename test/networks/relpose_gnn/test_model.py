"""The network: switches, cached features, dropout, invariances, bad input."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.relpose_gnn.resnet34 import ResNet34


def test_cached_features_give_the_same_as_images(small):
    network, images = small(), torch.randn(2, 3, 3, 40, 56)
    descriptors = torch.stack([network.features(graph) for graph in images])
    for ours, whole in zip(network.poses(descriptors), network(images), strict=True):
        torch.testing.assert_close(ours, whole)


def test_channels_last_images_give_the_same(small):
    network, images = small(), torch.randn(4, 3, 40, 56)
    last = network.to(memory_format=torch.channels_last).features(
        images.contiguous(memory_format=torch.channels_last)
    )
    torch.testing.assert_close(last, small().features(images), rtol=1e-4, atol=1e-4)


def test_dropout_is_off_in_eval_mode_and_on_with_compat(small, nodes):
    network, compat = small(), small(compat=True)
    assert torch.equal(network.poses(nodes)[1], network.poses(nodes)[1])
    assert not torch.equal(compat.poses(nodes)[1], compat.poses(nodes)[1])


def test_compat_dropout_is_unbiased_and_only_before_the_heads(small, nodes):
    draws = small(compat=True).poses(nodes[:1].expand(600, -1, -1))[1]
    spread = draws.std(dim=0) / len(draws) ** 0.5
    assert ((draws.mean(dim=0) - small().poses(nodes[:1])[1][0]).abs() < 5 * spread + 1e-6).all()


def test_training_drops_out_unless_told_otherwise(small):
    assert not torch.equal(*_twice(small()))
    assert torch.equal(*_twice(small(dropout=0.0)))


def _twice(network):
    network.train()
    nodes = torch.ones(1, 4, 16)
    return network.poses(nodes)[1], network.poses(nodes)[1]


def test_both_directions_of_an_edge_start_the_same(small, nodes):
    network = small()
    edges = network.choose_edges(nodes)
    first = network.first_edges(nodes, edges)
    half = edges.shape[2] // 2
    torch.testing.assert_close(first[:, :half], first[:, half:])


def test_rounds_follow_the_schedule(small, nodes):
    shared = small(weight_sets=2, schedule=[0, 0])
    both = small(weight_sets=2, schedule=[0, 1])
    both.load_state_dict(shared.state_dict())
    assert not torch.allclose(shared.poses(nodes)[1], both.poses(nodes)[1])
    both.gnn2.load_state_dict(shared.gnn1.state_dict())
    torch.testing.assert_close(shared.poses(nodes)[1], both.poses(nodes)[1])


def test_nearest_neighbour_edges_and_given_edges(small, nodes):
    network = small(neighbours=2)
    _, relative, edges = network.poses(nodes)
    assert edges.shape == (2, 2, 12)
    given = small().poses(nodes, edges)
    torch.testing.assert_close(given[1], relative)


def test_as_many_neighbours_as_there_are_is_all_edges_in_another_order(small, nodes):
    _, all_relative, all_edges = small().poses(nodes)
    _, relative, edges = small(neighbours=5).poses(nodes)
    for item in range(2):
        found = {tuple(e.tolist()): r for e, r in zip(edges[item].T, relative[item], strict=True)}
        for edge, vector in zip(all_edges[item].T, all_relative[item], strict=True):
            torch.testing.assert_close(found[tuple(edge.tolist())], vector)


def test_a_dropped_edge_changes_the_answer(small, nodes):
    network = small()
    keep = torch.ones(2, 30, dtype=torch.bool)
    torch.testing.assert_close(network.poses(nodes, keep=keep)[1], network.poses(nodes)[1])
    keep[:, ::2] = False
    assert not torch.allclose(network.poses(nodes, keep=keep)[1], network.poses(nodes)[1])


def test_every_trained_parameter_gets_a_gradient(small):
    network = small(dropout=0.0).train()
    _, relative, _ = network(torch.randn(2, 3, 3, 40, 56))
    relative.square().sum().backward()
    without = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == {"fc_xyz.weight", "fc_xyz.bias", "fc_wpqr.weight", "fc_wpqr.bias"}


def test_an_uncertainty_is_one_more_head_and_changes_nothing_else(small, nodes):
    plain, sure = small(), small(uncertainty=True)
    found = sure.edge_poses(nodes)
    torch.testing.assert_close(found.relative, plain.edge_poses(nodes).relative)
    assert plain.edge_poses(nodes).log_variance is None
    assert found.log_variance.shape == found.relative.shape
    assert set(sure.state_dict()) - set(plain.state_dict()) == {
        "fc_uncertainty_R.weight", "fc_uncertainty_R.bias",
    }  # fmt: skip


def test_bfloat16_autocast_is_finite_and_close(small, nodes):
    network = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network.poses(nodes)[1]
    reference = network.poses(nodes)[1]
    assert found.isfinite().all()
    assert (found - reference).abs().max() < 0.1 * reference.abs().max()


@pytest.mark.parametrize(
    "parameters",
    [
        {"dimension": 20},
        {"dimension": 0},
        {"schedule": []},
        {"schedule": [1]},
        {"schedule": [-1]},
        {"dropout": 1.0},
    ],
)
def test_parameters_that_make_no_sense_are_refused(small, parameters):
    with pytest.raises(ConfigurationError, match="expected"):
        small(**parameters)


@pytest.mark.parametrize("shape", [(2, 3, 40, 56), (1, 2, 1, 40, 56)])
def test_images_of_another_shape_are_refused(small, shape):
    with pytest.raises(ConfigurationError, match=r"\(B, K, 3, H, W\)"):
        small()(torch.zeros(shape))


def test_the_trunk_reduces_32_fold():
    stages = ResNet34(8).eval().stages(torch.randn(1, 3, 96, 64))
    assert [tuple(s.shape[1:]) for s in stages] == [
        (64, 24, 16), (64, 24, 16), (128, 12, 8), (256, 6, 4), (512, 3, 2),
    ]  # fmt: skip
