"""Checkpoints of the original OANet: there and back, and what does not fit."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.one_to_one.oanet import OANet
from relpose_ros.networks.one_to_one.oanet_iter import OANetIter
from relpose_ros.networks.one_to_one.oanet_keys import from_original, original_name, to_original

SMALL = {"blocks": 2, "clusters": 8}


@pytest.mark.parametrize("network", [OANet(**SMALL), OANetIter(4, **SMALL)], ids=["oanet", "oanet_iter"])
def test_there_and_back_is_the_same(network):
    state = network.state_dict()
    original = to_original(state)
    assert len(original) == len(state)
    assert all(name.startswith(("weights_init.", "weights_iter.0.")) for name in original)
    back = from_original(original, network)
    assert list(back) == list(state)
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_the_first_layer_is_turned():
    original = to_original(OANet(**SMALL).state_dict())
    assert original["weights_init.conv1.weight"].shape == (128, 6, 1, 1)


@pytest.mark.parametrize(
    ("name", "blocks", "original"),
    [
        ("ResNet_4_stage_1.short_cut.bias", 3, "weights_init.l1_2.0.shot_cut.bias"),
        ("ResNet_4.Conv2d_2.weight", 6, "weights_init.l1_1.3.conv.7.weight"),
        (
            "Order_Aware_Filter_Block_3_stage_2.batchnorm_2.running_var",
            3,
            "weights_iter.0.l2.2.conv2.0.running_var",
        ),
        ("OANET_unpool_stage_2.Conv2d.bias", 3, "weights_iter.0.up1.conv.3.bias"),
        ("layer_last.weight", 6, "weights_init.output.weight"),
    ],
)
def test_names(name, blocks, original):
    assert original_name(name, blocks) == original


def test_a_checkpoint_of_another_depth_is_refused():
    original = to_original(OANetIter(blocks=1, clusters=8).state_dict())
    with pytest.raises(ConfigurationError, match=r"missing: \['weights_i.*left over: \[\]"):
        from_original(original, OANetIter(**SMALL))


def test_a_foreign_name_is_refused():
    with pytest.raises(ConfigurationError, match=r"got 'encoder\.0\.weight'"):
        original_name("encoder.0.weight", 3)
