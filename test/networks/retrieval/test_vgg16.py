"""The trunk: its size, its last ReLU, and what is frozen."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.vgg16 import SMALL_CHANNELS, STRIDE, Vgg16, channels_from, conv5_3

TENSORS_FROM = {"conv5": 3, "conv4": 6, "conv3": 9, "conv2": 11, "full": 13}
"""Convolutions that are trained."""


def trained(trunk: Vgg16) -> list[str]:
    return [name for name, value in trunk.named_parameters() if value.requires_grad]


@pytest.mark.parametrize(("height", "width"), [(64, 96), (49, 70)])
def test_a_map_is_a_sixteenth_of_the_image(height, width):
    features = Vgg16(SMALL_CHANNELS)(torch.zeros(2, 3, height, width))
    assert features.shape == (2, 32, height // STRIDE, width // STRIDE)


def test_the_last_relu_is_all_that_differs():
    without, with_relu = conv5_3(SMALL_CHANNELS), conv5_3(SMALL_CHANNELS, last_relu=True)
    with_relu.load_state_dict(without.state_dict())
    features, cut = (m(torch.randn(1, 3, 32, 32)) for m in (without, with_relu))
    assert cut.shape == features.shape and (cut >= 0).all()
    x = torch.randn(1, 3, 64, 64)
    assert (without(x) < 0).any()
    assert torch.equal(without(x).relu(), with_relu(x))


@pytest.mark.parametrize("layers", TENSORS_FROM)
def test_stages_before_are_frozen_and_freed_again(layers):
    trunk = Vgg16(SMALL_CHANNELS)
    trunk.train_from("conv5")
    trunk.train_from(layers)
    assert len(trained(trunk)) == 2 * TENSORS_FROM[layers]
    names = [name for name, _ in trunk.named_parameters()]
    assert trained(trunk) == names[len(names) - len(trained(trunk)) :]


def test_frozen_stages_get_no_gradient():
    trunk = Vgg16(SMALL_CHANNELS)
    trunk.train_from("conv4")
    trunk(torch.randn(1, 3, 32, 32)).sum().backward()
    got = {name for name, value in trunk.named_parameters() if value.grad is not None}
    assert got == set(trained(trunk))


def test_unknown_layers_are_refused():
    with pytest.raises(ConfigurationError, match=r"one of conv5, conv4.*got 'conv6'"):
        Vgg16(SMALL_CHANNELS).train_from("conv6")


def test_the_number_of_stages_is_five():
    with pytest.raises(ConfigurationError, match="5 channel counts"):
        Vgg16([8, 8, 16])


def test_channels_are_told_by_a_state_dict():
    shapes = {name: tuple(value.shape) for name, value in Vgg16(SMALL_CHANNELS).state_dict().items()}
    assert channels_from(shapes, "base") == list(SMALL_CHANNELS)
    with pytest.raises(KeyError):
        channels_from(shapes, "encoder")
