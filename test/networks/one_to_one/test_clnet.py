"""CLNet: what it keeps, what it estimates, and what has no influence."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.one_to_one.clnet import CLNet
from relpose_ros.networks.one_to_one.epipolar import symmetric_epipolar_distance
from relpose_ros.networks.one_to_one.local_global import AnnularConvolution, WeightedGraph


def made():
    torch.manual_seed(0)
    return CLNet().double().eval()


def inputs(count=48):
    return torch.rand(2, count, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5


def outputs(network=None, points=None):
    network = network or made()
    with torch.no_grad():
        found = network(inputs() if points is None else points)
    return dict(zip(network.output_names, found, strict=True))


def test_it_keeps_the_better_half_twice():
    found = outputs()
    half = found["logits_2"].gather(1, found["kept_1"])
    assert half.shape == (2, 24) and found["kept_2"].shape == found["logits_5"].shape == (2, 12)
    assert (half.diff(dim=1) <= 0).all()
    dropped = found["logits_2"].scatter(1, found["kept_1"], -torch.inf).amax(dim=1)
    assert (half.amin(dim=1) >= dropped).all()
    ranks = found["logits_4"].argsort(dim=1, descending=True)[:, :12]
    assert torch.equal(found["kept_1"].gather(1, ranks), found["kept_2"])


def test_the_essential_matrix_has_a_sign_and_fits_its_distances():
    found = outputs()
    flat = found["essential"].flatten(1)
    torch.testing.assert_close(flat.norm(dim=1), torch.ones(2, dtype=torch.float64))
    assert (flat.gather(1, flat.abs().argmax(1, keepdim=True)) > 0).all()
    expected = symmetric_epipolar_distance(found["essential"], inputs())
    torch.testing.assert_close(found["distances"], expected)


def test_the_order_of_correspondences_does_not_matter():
    straight, turned = outputs(), outputs(points=inputs().flip(1))
    torch.testing.assert_close(straight["logits_1"], turned["logits_1"].flip(1))
    assert torch.equal(straight["kept_2"], 47 - turned["kept_2"])
    torch.testing.assert_close(straight["essential"], turned["essential"])


def test_the_unused_convolutions_of_the_state_dict_are_unused():
    network = made()
    before = outputs(network)
    for name, value in network.named_parameters():
        if ".right." in name:
            value.data.normal_()
    assert all(torch.equal(a, b) for a, b in zip(before.values(), outputs(network).values(), strict=True))


def test_too_few_correspondences_are_refused():
    with pytest.raises(ConfigurationError, match="at least"):
        outputs(points=inputs(8))


def test_other_numbers_of_neighbours_are_refused():
    with pytest.raises(ConfigurationError, match="6 or 9"):
        AnnularConvolution(8)


def test_the_graph_is_the_normalised_adjacency():
    features = torch.rand(1, 128, 10, 1, dtype=torch.float64)
    logits = torch.randn(1, 10, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    graph = WeightedGraph().double().eval()
    weights = torch.tanh(logits).relu()[0]
    adjacency = torch.outer(weights, weights) + torch.eye(10, dtype=torch.float64)
    root = adjacency.sum(dim=1).rsqrt()
    laplacian = root[:, None] * adjacency * root
    expected = graph.conv((features[..., 0] @ laplacian).unsqueeze(3))
    torch.testing.assert_close(graph(features, logits), expected)


def test_the_estimate_teaches_the_network():
    network = made().train()
    found = dict(zip(network.output_names, network(inputs()), strict=True))
    found["essential"][:, 0, 0].sum().backward()
    gradient = network.ds_1.linear_2.weight.grad
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
