"""The small retriever: aggregation, linear layers, regions, and what its shapes tell."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.retrieval.mobile import MobileRetriever

BOTH = pytest.mark.parametrize("aggregation", ["gem", "netvlad"])


def make(aggregation: str, **parameters) -> MobileRetriever:
    torch.manual_seed(4)
    return MobileRetriever(aggregation, clusters=4, width=0.35, **parameters).double().eval()


def images(count: int, height: int = 64, width: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 3, height, width, generator=generator).double()


def sizes(aggregation: str) -> int:
    return 336 if aggregation == "gem" else 4 * 48


@BOTH
@pytest.mark.parametrize("layers", [{}, {"dimension": 16}, {"whitened": 8}, {"dimension": 16, "whitened": 8}])
def test_descriptors_have_the_size_asked_for_and_norm_1(aggregation, layers):
    network = make(aggregation, **layers)
    with torch.no_grad():
        (found,) = network(images(2))
    size = layers.get("whitened") or layers.get("dimension") or sizes(aggregation)
    assert found.shape == (2, size) and network.descriptor_size == size
    assert torch.allclose(found.norm(dim=1), torch.ones(2).double())


@BOTH
def test_a_pca_sees_the_descriptor_that_was_trained(aggregation):
    network = make(aggregation, dimension=16, whitened=8)
    shorter = make(aggregation, dimension=16)
    shorter.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("pca_")})
    with torch.no_grad():
        expected = torch.nn.functional.normalize(network.pca_layer(shorter(images(2))[0]), dim=1)
        assert torch.allclose(network(images(2))[0], expected)


@BOTH
@pytest.mark.parametrize("dimension", [None, 16])
def test_regions_are_descriptors_of_their_part_of_the_map(aggregation, dimension):
    """Global and top left, of a map of 4 x 6."""
    network = make(aggregation, dimension=dimension)
    trunk, aggregate, finish = network.region_parts()
    with torch.no_grad():
        regions = network.region_descriptors(images(2))
        features = trunk(images(2))
        assert regions.shape == (2, 9, dimension or sizes(aggregation))
        assert torch.allclose(regions[:, 0], network(images(2))[0], atol=1e-12)
        assert torch.allclose(regions[:, 5], finish(aggregate(features[:, :, :2, :3])), atol=1e-12)


@BOTH
def test_regions_are_compared_tuple_by_tuple_with_gradients(aggregation):
    network = make(aggregation, dimension=16).train()
    network.base_model.freeze_statistics()
    found = network.compare_regions(images(6), tuples=2)
    assert found.scores.shape == (2, 2, 9, 9) and found.others.shape == (2, 2, 9, 16)
    alone = network.compare_regions(images(6)[3:])
    assert torch.allclose(found.scores[1], alone.scores[0])
    found.scores.sum().backward()
    assert all(value.grad is not None for value in network.parameters())


def test_a_stride_of_32_wants_larger_images_for_regions():
    with pytest.raises(ConfigurationError, match="multiples of 32"):
        make("gem", stride=32).compare_regions(images(2, 96, 96))


@BOTH
@pytest.mark.parametrize("parameters", [{}, {"dimension": 16, "whitened": 8}, {"width": 0.5, "clusters": 5}])
def test_shapes_tell_the_parameters(aggregation, parameters):
    network = build_network("retrieval.mobile", aggregation=aggregation, **{"width": 0.35, **parameters})
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    told = MobileRetriever.parameters_from(shapes)
    assert told["aggregation"] == aggregation and told["width"] == parameters.get("width", 0.35)
    assert (told["dimension"], told["whitened"]) == (parameters.get("dimension"), parameters.get("whitened"))
    assert aggregation == "gem" or told["clusters"] == parameters.get("clusters", 64)


def test_another_aggregation_is_refused():
    with pytest.raises(ConfigurationError, match="gem or netvlad, got 'mean'"):
        MobileRetriever("mean")


def test_first_weights_tell_images_apart():
    """Untrained descriptors of other images are not the same."""
    coloured = images(4) * torch.tensor([0.2, 0.5, 1, 2]).double()[:, None, None, None]
    with torch.no_grad():
        (found,) = make("netvlad")(coloured)
    assert float((found @ found.T - torch.eye(4)).abs().max()) < 0.999
