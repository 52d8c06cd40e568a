"""Networks that see all correspondences at once: what must not matter, and what must be refused."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.one_to_one.graph import graph_features, nearest_neighbours
from relpose_ros.networks.one_to_one.oanet_iter import OANetIter, with_residuals
from relpose_ros.networks.one_to_one.synthetic import synthetic_correspondences
from relpose_ros.networks.registry import build_network, load_class

NAMES = ("ltfgc", "oanet", "oanet_iter", "ms2dgnet")
every_network = pytest.mark.parametrize("name", NAMES)


def make(name, **parameters):
    torch.manual_seed(3)
    key = f"one_to_one.{name}"
    return build_network(key, **load_class(key).small_parameters(), **parameters).double().eval()


def correspondences(count=64, width=6):
    pairs = synthetic_correspondences(2, count, torch.Generator().manual_seed(4), outliers=0.3)
    return pairs[..., :width].double()


@every_network
def test_the_order_of_correspondences_does_not_matter(name):
    network, given = make(name), correspondences()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        straight, shuffled = network(given), network(given[:, order])
    for a, b in zip(straight, shuffled, strict=True):
        assert torch.allclose(a[:, order], b, atol=1e-6)


@every_network
def test_correspondences_see_each_other(name):
    network, given = make(name), correspondences()
    other = given.clone()
    other[:, 1:] *= 0.5
    with torch.no_grad():
        assert not torch.allclose(network(given)[-1][:, 0], network(other)[-1][:, 0])


@every_network
@pytest.mark.parametrize("shape", [(2, 64, 5), (64, 6), (2, 1, 64, 6)])
def test_another_shape_is_refused(name, shape):
    with pytest.raises(ConfigurationError, match=r"expected correspondences \(B, N, 6\)"):
        make(name)(torch.zeros(shape, dtype=torch.float64))


@every_network
def test_another_width_is_refused(name):
    with pytest.raises(ConfigurationError, match="width must be 4"):
        make(name, width=5)


@every_network
def test_every_parameter_learns(name):
    network = make(name).train()
    sum(logits.square().sum() for logits in network(correspondences())).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_the_second_stage_does_not_teach_the_first():
    network = make("oanet_iter").train()
    network(correspondences())[1].sum().backward()
    first = [p.grad for n, p in network.named_parameters() if "stage_1" in n]
    assert all(g is None or not g.any() for g in first)


def test_the_second_stage_sees_residuals_and_weights():
    given = correspondences(width=4)
    logits = torch.where(torch.arange(64) < 44, 5.0, -5.0).double().expand(2, 64)
    seen = with_residuals(given, logits, 0.0)
    assert seen.shape == (2, 64, 6)
    assert torch.equal(seen[..., :4], given)
    assert (seen[:, 44:, 5] == 0).all() and (seen[:, :44, 5] > 0.99).all()
    assert seen[:, :44, 4].mean() < 0.05 * seen[:, 44:, 4].mean()


def test_compat_leaves_the_essential_matrix_arbitrary_without_inliers():
    given = correspondences(width=4)
    lost = torch.full((2, 64), -1.0).double()
    plain = with_residuals(given, lost, OANetIter(4, compat=True, blocks=1, clusters=4).floor)
    better = with_residuals(given, lost, OANetIter(4, blocks=1, clusters=4).floor)
    assert better[..., 4].median() < 0.3 * plain[..., 4].median()


def test_a_point_is_its_own_first_neighbour():
    features = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(6))
    indices = nearest_neighbours(features, 4)
    assert torch.equal(indices[..., 0], torch.arange(30).expand(2, 30))
    distance = torch.cdist(features.mT, features.mT).gather(2, indices)
    assert (distance.diff(dim=2) >= 0).all()


def test_edges_hold_the_point_and_its_difference_to_neighbours():
    features = torch.randn(1, 3, 8, 1, generator=torch.Generator().manual_seed(6))
    edges, indices = graph_features(features, 2), nearest_neighbours(features[..., 0], 2)
    own, other = features[0, :, 5, 0], features[0, :, indices[0, 5, 1], 0]
    assert torch.allclose(edges[0, :, 5, 1], torch.cat([own, own - other]))


def test_too_few_correspondences_for_neighbours_are_refused():
    with pytest.raises(ConfigurationError, match="at least 20 correspondences; got 12"):
        make("ms2dgnet")(correspondences(12))
