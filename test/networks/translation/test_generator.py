"""What the contract test does not say of CUT's networks."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.translation.discriminator import PatchDiscriminator
from relpose_ros.networks.translation.layers import BlurDown, BlurUp
from relpose_ros.networks.translation.projections import PatchProjections, draw_places


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("translation.cut_generator", channels=4, blocks=3).eval()


def drawn(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("size", [(16, 16), (17, 22), (46, 64)])
def test_any_size_comes_back_as_it_was(network, size):
    with torch.no_grad():
        (made,) = network(drawn(2, 3, *size))
    assert made.shape == (2, 3, *size)
    assert made.abs().max() <= 1


def test_the_maps_of_a_translation_are_those_of_encode(network):
    images = drawn(2, 3, 24, 32)
    with torch.no_grad():
        made, maps = network.translate(images)
        again = network.encode(images)
        assert torch.equal(made, network(images)[0])
    assert [m.shape[1] for m in maps] == network.feature_channels
    assert [tuple(m.shape[2:]) for m in maps] == [(24, 32), (12, 16), (6, 8), (6, 8), (6, 8)]
    assert all(torch.equal(a, b) for a, b in zip(maps, again, strict=True))
    assert not torch.equal(maps[3], maps[4]), "the first and the middle block"


def test_halving_does_not_alias():
    """Stripes of two pixels become grey; plain subsampling keeps them."""
    stripes = (torch.arange(32) % 2).float().expand(1, 1, 32, 32)
    assert BlurDown()(stripes).std() < 0.01
    assert stripes[..., ::3, ::3].std() > 0.4


def test_halving_keeps_a_constant_and_rounds_up():
    halved = BlurDown()(torch.full((1, 3, 17, 20), 0.7))
    assert halved.shape == (1, 3, 9, 10)
    assert torch.allclose(halved, torch.tensor(0.7))


def test_doubling_is_the_published_filter():
    """Zeros between the pixels of an image whose border is repeated, then 1 3 3 1 each way."""
    x = drawn(1, 1, 6, 5)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    padded = functional.pad(x, (1, 1, 1, 1), "replicate")
    wide = functional.conv_transpose2d(padded, (row[:, None] * row)[None, None], stride=2)
    published = wide[:, :, 3:-3, 3:-3]
    assert torch.allclose(BlurUp()(x), published, atol=1e-6)


def test_the_discriminator_speaks_of_patches():
    said = PatchDiscriminator(4)(drawn(2, 3, 64, 64))
    assert said.shape[:2] == (2, 1) and min(said.shape[2:]) > 3


def test_projections_are_unit_vectors_of_places(network):
    with torch.no_grad():
        maps = network.encode(drawn(2, 3, 16, 16))
        places = draw_places(maps, 20, torch.Generator().manual_seed(0))
        heads = PatchProjections(network.feature_channels, 32)
        vectors = heads(maps, places)
        one = heads.heads[1](maps[1].flatten(2)[1, :, places[1][3]])
    assert [tuple(v.shape) for v in vectors] == [(2, n, 32) for n in (20, 20, 16, 16, 16)]
    assert all(len(p) == len(p.unique()) for p in places)
    assert all(torch.allclose(v.norm(dim=-1), torch.tensor(1.0), atol=1e-5) for v in vectors)
    assert torch.allclose(vectors[1][1, 3], functional.normalize(one, dim=0), atol=1e-6)


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"blocks": 1}])
def test_arguments_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="expected"):
        build_network("translation.cut_generator", **wrong)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 8, 32)])
def test_what_is_no_image_is_refused(network, shape):
    with pytest.raises(ConfigurationError, match="expected images"):
        network(torch.zeros(shape))
