"""NetVLAD against its definition, and how it starts from clusters."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.netvlad import NetVlad, normalised


@pytest.fixture
def layer() -> NetVlad:
    torch.manual_seed(1)
    layer = NetVlad(8, 3).double()
    with torch.no_grad():
        layer.centroids.add_(0.3 * torch.randn_like(layer.centroids))  # no longer those of the assignment
    return layer


def pixel_by_pixel(layer: NetVlad, features: torch.Tensor) -> torch.Tensor:
    """The definition, for one map (D, H, W)."""
    vlad = torch.zeros_like(layer.centroids)
    weight = layer.conv.weight[:, :, 0, 0]
    for x in features.flatten(1).T:
        x = x / x.norm()
        scores = torch.exp(weight @ x)
        for k in range(len(vlad)):
            vlad[k] += scores[k] / scores.sum() * (x - layer.centroids[k])
    return vlad


def test_residuals_are_summed_as_defined(layer):
    features = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([pixel_by_pixel(layer, one) for one in features])
        assert torch.allclose(layer(features), expected, atol=1e-12)


def test_only_the_direction_of_a_local_descriptor_counts(layer):
    features = torch.randn(1, 8, 3, 4, dtype=torch.float64)
    scale = torch.rand(1, 1, 3, 4, dtype=torch.float64) + 0.1
    assert torch.allclose(layer(features), layer(features * scale))
    layer.normalise_input = False
    assert not torch.allclose(layer(features), layer(features * scale))


def test_the_order_of_pixels_does_not_count(layer):
    features = torch.randn(1, 8, 3, 4, dtype=torch.float64)
    assert torch.allclose(layer(features), layer(features.flip(2, 3)))


def test_assignments_sum_to_one(layer):
    _, assignment = layer.assign(torch.randn(2, 8, 3, 4))
    assert assignment.shape == (2, 3, 3, 4)
    assert torch.allclose(assignment.sum(dim=1), torch.ones(2, 3, 4, dtype=torch.float64))


def test_each_cluster_counts_the_same_in_the_descriptor():
    vlad = torch.randn(2, 5, 3, 8) * torch.tensor([1.0, 10.0, 100.0])[:, None]
    descriptor = normalised(vlad)
    assert descriptor.shape == (2, 5, 24)
    assert torch.allclose(descriptor.unflatten(2, (3, 8)).norm(dim=3), torch.full((2, 5, 3), 3**-0.5))
    assert torch.allclose(descriptor[..., 8:16], functional.normalize(vlad[..., 1, :], dim=-1) / 3**0.5)


def test_autocast_leaves_it_in_float32(layer):
    layer, features = layer.float(), torch.randn(2, 8, 3, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        inside = layer(features)
    with torch.no_grad():
        assert torch.equal(inside, layer(features))


def test_gradients_are_finite_where_features_vanish(layer):
    """After a ReLU a pixel may have no feature at all."""
    features = torch.randn(1, 8, 3, 4, dtype=torch.float64)
    features[:, :, 1, 1] = 0
    features.requires_grad_()
    normalised(layer(features)).sum().backward()
    gradients = [features.grad, *(p.grad for p in layer.parameters())]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert all(g.abs().max() > 0 for g in gradients)


def test_gradients_are_those_of_the_function(layer):
    features = torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: normalised(layer(x)), features)


def clusters_and_descriptors() -> tuple[torch.Tensor, torch.Tensor]:
    centres = 2 * functional.normalize(torch.randn(3, 8), dim=1)
    return centres, functional.normalize(centres.repeat(20, 1) + 0.3 * torch.randn(60, 8), dim=1)


def test_clusters_make_the_best_a_hundred_times_the_second(layer):
    """exp of the mean gap of the scores is 100, by the choice of alpha."""
    centres, descriptors = clusters_and_descriptors()
    alpha = layer.init_from_clusters(centres, descriptors)
    assert torch.equal(layer.centroids.detach(), centres.double()), "not normalised"
    weight = layer.conv.weight.detach().flatten(1)
    assert weight.norm(dim=1).tolist() == pytest.approx([alpha] * 3)
    scores = (descriptors.double() @ weight.T).sort(dim=1).values
    assert math.exp((scores[:, -1] - scores[:, -2]).mean()) == pytest.approx(100, rel=1e-6)


def test_what_cannot_start_it_is_refused(layer):
    centres, descriptors = clusters_and_descriptors()
    before = layer.centroids.detach().clone()
    with pytest.raises(ConfigurationError, match=r"expected centres \(3, 8\)"):
        layer.init_from_clusters(centres[:2], descriptors)
    with pytest.raises(ConfigurationError, match=r"descriptors \(M, 8\)"):
        layer.init_from_clusters(centres, descriptors[:, :5])
    with pytest.raises(ConfigurationError, match="margin"):
        layer.init_from_clusters(centres[:1].repeat(3, 1), descriptors)
    with pytest.raises(ConfigurationError, match="non-zero centres"):
        layer.init_from_clusters(centres * torch.tensor([1.0, 1.0, 0.0])[:, None], descriptors)
    assert torch.equal(layer.centroids, before)
