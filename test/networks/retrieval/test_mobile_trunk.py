"""The small trunk: timm's names, shapes and outputs; what is frozen; statistics of the norms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.mobile_trunk import FIRST_TRAINED, MobileTrunk
from tools.timm_mobile import HEAD, image, ruled, sampled

TIMM = json.loads((Path(__file__).parent / "timm_mobile.json").read_text())


def small(**parameters) -> MobileTrunk:
    torch.manual_seed(2)
    return MobileTrunk(width=0.35, **parameters)


def batches(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [2 + 3 * torch.randn(4, 3, 32, 64, generator=generator) for _ in range(count)]


def statistics(trunk: MobileTrunk) -> list[torch.Tensor]:
    return [m.running_mean.clone() for m in trunk.modules() if isinstance(m, nn.BatchNorm2d)]


def test_names_shapes_and_order_are_timms():
    published = {k: tuple(v) for k, v in TIMM["shapes"].items() if not k.startswith(HEAD)}
    with torch.device("meta"):
        ours = {name: tuple(value.shape) for name, value in MobileTrunk().state_dict().items()}
    assert list(ours.items()) == list(published.items())


@pytest.mark.parametrize("stride", [16, 32])
def test_it_computes_what_timm_computes(stride):
    trunk = MobileTrunk(stride=stride).eval()
    trunk.load_state_dict({name: ruled(name, value) for name, value in trunk.state_dict().items()})
    with torch.no_grad():
        features = trunk(image())
    expected = TIMM[f"stride {stride}"]
    assert list(features.shape) == expected["shape"]
    assert sampled(features) == pytest.approx(expected["values"], rel=1e-4, abs=1e-4)


def test_four_stages_end_before_the_last():
    whole, cut = small(stages=5).eval(), small(stages=4).eval()
    cut.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("blocks.4.")})
    with torch.no_grad():
        assert torch.equal(whole(batches()[0]), whole.blocks[4](cut(batches()[0])))
    assert (whole.dimension, cut.dimension) == (336, 48)


@pytest.mark.parametrize("wrong", [{"width": 0.7}, {"stages": 3}, {"stride": 8}])
def test_other_variants_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"expected a width of 1\.0, 0\.5, 0\.35"):
        MobileTrunk(**wrong)


@pytest.mark.parametrize("layers", FIRST_TRAINED)
def test_stages_before_are_frozen_with_their_statistics(layers):
    trunk = small()
    trunk.train_from("blocks.4")
    trunk.train_from(layers)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    trunk.train()(batches()[0]).sum().backward()
    for name, value in trunk.named_parameters():
        stage = int(name.split(".")[1]) if name.startswith("blocks.") else -1
        assert (value.grad is not None) == (stage >= FIRST_TRAINED[layers]), name
    for name, value in trunk.state_dict().items():
        if name.endswith("running_mean"):
            stage = int(name.split(".")[1]) if name.startswith("blocks.") else -1
            assert torch.equal(value, before[name]) == (stage < FIRST_TRAINED[layers]), name


def test_layers_that_do_not_exist_are_refused():
    with pytest.raises(ConfigurationError, match=r"one of full, blocks\.0.*blocks\.3, got 'conv5'"):
        small(stages=4).train_from("conv5")
    with pytest.raises(ConfigurationError, match=r"got 'blocks\.4'"):
        small(stages=4).train_from("blocks.4")


def test_frozen_statistics_stay_and_make_training_and_test_the_same():
    trunk = small()
    trunk.train()(batches()[1])
    trunk.freeze_statistics()
    before = statistics(trunk)
    with torch.no_grad():
        trained, tested = trunk.train()(batches()[0]), trunk.eval()(batches()[0])
    assert torch.equal(trained, tested)
    assert all(map(torch.equal, before, statistics(trunk)))
    trunk.freeze_statistics(False)
    trunk.train()(batches()[0])
    assert not torch.equal(before[0], statistics(trunk)[0])


def test_an_image_does_not_depend_on_its_tuple_once_frozen():
    trunk = small().train()
    trunk.freeze_statistics()
    images = batches()[0].double()
    with torch.no_grad():
        together, alone = trunk.double()(images), trunk(images[:1])
    assert torch.allclose(together[:1], alone, atol=1e-9)


def test_first_weights_keep_the_scale_of_images():
    """At full width, with the statistics that norms begin with: neither vanishing nor growing."""
    torch.manual_seed(0)
    trunk = MobileTrunk(stages=4, stride=32).eval()
    with torch.no_grad():
        deviation = float(trunk(torch.randn(2, 3, 64, 96)).std())
    assert 0.1 < deviation < 30


def test_both_ways_of_freezing_go_together():
    trunk = small()
    trunk.freeze_statistics()
    trunk.train_from("blocks.2")
    trunk.freeze_statistics(False)
    trunk.train()
    assert not trunk.bn1.training and not trunk.blocks[1][1].bn1.training
    assert trunk.blocks[2][5].pw_proj.bn.training
