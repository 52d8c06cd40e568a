"""The networks from image to descriptor: what each gives, and how one is made of another."""

from __future__ import annotations

import json

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.embed import EmbedNet, EmbedNetPca
from relpose_ros.networks.retrieval.max_pool import MaxPoolNet
from relpose_ros.networks.retrieval.netvlad_relu import NetVladRelu
from relpose_ros.networks.retrieval.region import EmbedRegionNet
from relpose_ros.networks.retrieval.vgg16 import SMALL_CHANNELS
from relpose_ros.retrieval.pca import Pca

CLASSES = (EmbedNet, EmbedNetPca, EmbedRegionNet, NetVladRelu, MaxPoolNet)


def small(cls, **more):
    torch.manual_seed(2)
    return cls(**{**cls.small_parameters(), **more}).eval()


def images(count: int = 3, height: int = 64, width: int = 96) -> torch.Tensor:
    return 50 * torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_are_json_and_told_by_the_shapes(cls):
    given = json.loads(json.dumps(cls.small_parameters()))
    shapes = {name: tuple(value.shape) for name, value in cls(**given).state_dict().items()}
    assert cls.parameters_from(shapes) == given


@pytest.mark.parametrize("cls", CLASSES)
def test_every_descriptor_has_norm_one(cls):
    with torch.no_grad():
        descriptor = small(cls)(images())[-1]
    assert torch.allclose(descriptor.norm(dim=1), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_training_step_reaches_every_weight(cls):
    network = small(cls).train()
    outputs = network(images())
    sum((o * torch.randn_like(o)).sum() for o in outputs).backward()
    gradients = {name: value.grad for name, value in network.named_parameters()}
    assert not [n for n, g in gradients.items() if g is None or not torch.isfinite(g).all()]


@pytest.mark.parametrize("cls", CLASSES)
def test_autocast_gives_float32_descriptors(cls):
    network = small(cls)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = network(images())
    assert {o.dtype for o in outputs} == {torch.float32}
    with torch.no_grad():
        full = network(images())
    assert torch.nn.functional.cosine_similarity(outputs[-1], full[-1]).min() > 0.98


def test_one_class_cannot_be_told_from_the_shapes_of_another():
    with pytest.raises(KeyError):
        EmbedNetPca.parameters_from({n: tuple(v.shape) for n, v in small(EmbedNet).state_dict().items()})
    with pytest.raises(KeyError):
        EmbedNet.parameters_from({n: tuple(v.shape) for n, v in small(NetVladRelu).state_dict().items()})


def test_pool_is_the_maximum_of_the_map_without_normalisation():
    network = small(EmbedNet)
    with torch.no_grad():
        features, (pool, _) = network.base_model(images()), network(images())
    assert torch.equal(pool, features.flatten(2).max(dim=2).values)


def test_max_pooling_is_normalised_unless_compat():
    network, compat = small(MaxPoolNet), small(MaxPoolNet, compat=True)
    assert network.state_dict().keys() == compat.state_dict().keys()
    with torch.no_grad():
        unit, raw = network(images())[0], compat(images())[0]
    assert not torch.allclose(raw.norm(dim=1), torch.ones(3), atol=1e-2)
    assert torch.allclose(unit, raw / raw.norm(dim=1, keepdim=True), atol=1e-6)


def test_a_trained_network_and_its_pca_become_one():
    trained = small(EmbedNet)
    with torch.no_grad():
        vectors = trained(images(12))[1].numpy()
    pca = Pca.fit(vectors, 5)
    network = EmbedNetPca.from_trained(trained, *map(torch.from_numpy, pca.layer())).eval()
    with torch.no_grad():
        found = network(images(12))[0].numpy()
    assert found == pytest.approx(pca.apply(vectors), abs=2e-4)
    assert all(p.device.type == "cpu" and p.requires_grad for p in network.parameters())
    assert network.net_vlad.centroids.data_ptr() != trained.net_vlad.centroids.data_ptr(), "a copy"


def test_a_region_network_can_be_whitened_too():
    trained = small(EmbedRegionNet)
    weight, bias = torch.randn(6, 4 * SMALL_CHANNELS[-1], 1, 1), torch.zeros(6)
    with torch.no_grad():
        assert EmbedNetPca.from_trained(trained, weight, bias)(images())[0].shape == (3, 6)


def test_a_pca_of_other_descriptors_is_refused():
    with pytest.raises(ConfigurationError, match=r"expected a PCA layer of shape \(G, 128, 1, 1\)"):
        EmbedNetPca.from_trained(small(EmbedNet), torch.zeros(6, 99, 1, 1), torch.zeros(6))


def test_matconvnet_convolutions_load_under_their_own_names():
    donor, network = small(EmbedNet).base_model.base.state_dict(), small(EmbedNet)
    assert set(donor) == {f"{i}.{kind}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
                          for kind in ("weight", "bias")}  # fmt: skip
    network.base_model.base.load_state_dict(donor, strict=True)
