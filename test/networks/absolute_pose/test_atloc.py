"""What the contract test does not say of AtLoc."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.checkpoints.state_dicts import recognise, shapes_of
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import build_network

SMALL = {"dimension": 64, "stages": [[16, 1, 1], [32, 1, 2]]}


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))


def small(**parameters):
    torch.manual_seed(0)
    return build_network("absolute_pose.atloc", **SMALL, **parameters).eval()


def test_translations_are_in_the_unit_of_the_scene(images):
    plain, scaled = small(), small(mean=[10.0, 20.0, 30.0], deviation=[2.0, 3.0, 4.0])
    with torch.no_grad():
        (first, log), (second, same) = plain(images), scaled(images)
    assert torch.allclose(second, first * torch.tensor([2.0, 3.0, 4.0]) + torch.tensor([10.0, 20.0, 30.0]))
    assert torch.equal(log, same)
    assert shapes_of(plain.state_dict()) == shapes_of(scaled.state_dict()), "they are parameters, not weights"


def test_dropout_is_off_in_eval_mode(images):
    network = small(dropout=0.9)
    with torch.no_grad():
        assert torch.equal(network(images)[0], network(images)[0])
        network.train()
        assert not torch.equal(network(images)[0], network(images)[0])


def test_state_dict_names_are_the_published_ones():
    with torch.device("meta"):
        names = set(build_network("absolute_pose.atloc").state_dict())
    assert {"feature_extractor.conv1.weight", "feature_extractor.fc.bias", "att.theta.weight"} <= names
    assert {name.split(".")[0] for name in names} == {"feature_extractor", "att", "fc_xyz", "fc_wpqr"}


@pytest.mark.parametrize("name", ["atloc", "atloc_small"])
def test_variants_are_told_by_their_shapes(name):
    with torch.device("meta"):
        shapes = shapes_of(build_network(f"absolute_pose.{name}").state_dict())
    assert recognise(shapes, "absolute_pose") == (f"absolute_pose.{name}", {})


@pytest.mark.parametrize(
    "wrong", [{"dimension": 12}, {"dropout": 1.0}, {"mean": [0.0, 0.0]}, {"deviation": [1.0, 0.0, 1.0]}]
)
def test_arguments_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="expected"):
        build_network("absolute_pose.atloc", **wrong)


def test_a_grey_image_is_refused():
    with pytest.raises(ConfigurationError, match=r"B, 3, H, W"):
        small()(torch.zeros(1, 1, 32, 32))
