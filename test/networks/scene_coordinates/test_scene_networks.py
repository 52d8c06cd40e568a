"""DSAC*, TransPose and CrossLoc: sizes of maps, means, uncertainty, frozen encoders, refusals."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.scene_coordinates.crossloc import TransPoseNet
from relpose_ros.networks.scene_coordinates.deviations import LOG_SCALE_RANGE
from relpose_ros.networks.scene_coordinates.dsacstar import DsacStar

SMALL = {"tiny": True, "extra_blocks": 0}


@pytest.mark.parametrize("size", [(48, 64), (49, 65), (55, 57), (56, 71)])
def test_the_map_has_a_cell_for_each_eight_pixels_begun(size):
    height, width = size
    cells = (-(-height // 8), -(-width // 8))
    with torch.no_grad():
        assert DsacStar(tiny=True)(torch.zeros(1, 1, *size))[0].shape[2:] == cells
        assert TransPoseNet(**SMALL)(torch.zeros(1, 3, *size))[0].shape[2:] == cells
        for head in ("transposed", "dense"):
            assert TransPoseNet(**SMALL, head=head)(torch.zeros(1, 3, *size))[0].shape[2:] == size


def test_the_mean_moves_the_coordinates_and_not_the_uncertainty():
    torch.manual_seed(0)
    network, image = TransPoseNet(**SMALL), torch.randn(1, 3, 24, 32)
    with torch.no_grad():
        before, scale = network.split(network(image)[0])
        network.set_mean([100.0, -50.0, 3.0])
        after, same_scale = network.split(network(image)[0])
    torch.testing.assert_close(after - before, torch.tensor([100.0, -50, 3])[:, None, None].expand_as(after))
    assert torch.equal(scale, same_scale)
    assert torch.equal(network.state_dict()["mean"], network.state_dict()["decoder.mean"])


def test_bfloat16_keeps_the_coordinates_of_a_large_scene():
    torch.manual_seed(0)
    mean = [-455.93, 417.51, 520.33]
    network, image = TransPoseNet(**SMALL, mean=mean).eval(), torch.randn(1, 3, 24, 32)
    with torch.no_grad():
        exact = network(image)[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(image)[0]
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.2  # bfloat16 could not even say 520.33: its steps are 4 m there


def test_the_scale_stays_in_its_range_whatever_the_last_layer_says():
    network = TransPoseNet(**SMALL)
    for extreme in (-1e4, 1e4):
        torch.nn.init.constant_(network.decoder.fc3.bias, extreme)
        with torch.no_grad():
            _, scale = network.split(network(torch.zeros(1, 3, 16, 16))[0])
        low, high = (torch.tensor(x).exp() for x in LOG_SCALE_RANGE)
        assert (scale >= low * 0.999).all() and (scale <= high * 1.001).all()


def test_only_the_encoders_said_to_train_get_gradients():
    network = TransPoseNet(**SMALL, mlr_encoders=3, unfrozen_encoders=1)
    network(torch.randn(1, 3, 16, 16))[0].sum().backward()
    trained = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert "mlr_encoder_1" in trained and not {"mlr_encoder_2", "mlr_encoder_3"} & trained
    assert {"mlr_forward", "mlr_skip", "decoder"} <= trained


def test_the_two_fusions_have_the_encoders_that_were_published():
    names = {
        fusion: {n.split(".")[0] for n in TransPoseNet(**SMALL, mlr_encoders=2, fusion=fusion).state_dict()}
        for fusion in ("transpose", "crossloc")
    }
    assert "encoder" in names["transpose"] and "mlr_skip" not in names["transpose"]
    assert "encoder" not in names["crossloc"] and "mlr_skip" in names["crossloc"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "colour"},
        {"uncertainty": "diagonal"},
        {"task": "depth", "uncertainty": "anisotropic"},
        {"task": "semantics"},  # has no uncertainty
        {"mean": [1.0]},
        {"head": "fullsize"},
        {"mlr_encoders": 1, "unfrozen_encoders": 2},
        {"mlr_encoders": 1, "fusion": "sum"},
    ],
    ids=str,
)
def test_parameters_that_do_not_fit_are_refused_with_what_was_expected(wrong):
    with pytest.raises(ConfigurationError, match=r"expected|needs|pass"):
        TransPoseNet(**SMALL, **wrong)
