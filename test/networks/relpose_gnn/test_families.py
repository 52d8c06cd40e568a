"""Published checkpoints: which family, strict load, and what can be left out."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.checkpoints.state_dicts import recognise
from relpose_ros.networks.registry import ARCHITECTURES, build_network
from relpose_ros.networks.relpose_gnn.families import (
    R1,
    R2,
    R3,
    RELEASE,
    recognise_family,
    without_unused_layers,
)
from relpose_ros.networks.relpose_gnn.model import RelPoseGNN


def shapes(name: str, **parameters) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = build_network(f"relpose_gnn.{name}", **parameters)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("family", [RELEASE, R3, R2], ids=lambda f: f.name)
def test_a_family_is_recognised_by_its_shapes(family):
    assert recognise_family(shapes(family.name)) == family


def test_two_weight_sets_are_the_release_and_never_r1():
    assert shapes("r1") == shapes("release")
    assert recognise_family(shapes("r1")) == RELEASE


def test_an_unusual_width_is_kept():
    assert recognise_family(shapes("r3", dimension=64)).parameters["dimension"] == 64
    assert RelPoseGNN.parameters_from(shapes("r2"))["neighbours"] == 4


def test_an_uncertainty_shows_in_the_shapes():
    assert RelPoseGNN.parameters_from(shapes("r2", uncertainty=True))["uncertainty"]
    assert "uncertainty" not in RelPoseGNN.parameters_from(shapes("r2"))


@pytest.mark.parametrize(
    ("family", "hint"), [(RELEASE, None), (R3, None), (R2, None), (R1, "relpose_gnn.r1")]
)
def test_checkpoints_are_given_the_variant_they_were_made_with(family, hint):
    assert recognise(shapes(family.name), "relpose_gnn", hint) == (f"relpose_gnn.{family.name}", {})


@pytest.mark.parametrize("drop", ["proj_edge.weight", "gnn1.mlp.0.weight"])
def test_a_foreign_state_dict_is_no_family(drop):
    found = {k: v for k, v in shapes("r3").items() if k != drop}
    with pytest.raises(KeyError, match=r"proj_edge|gnn"):
        recognise_family(found)


def test_registered_variants_are_the_families():
    for family in (RELEASE, R1, R2, R3):
        assert ARCHITECTURES[f"relpose_gnn.{family.name}"].parameters == family.parameters


def test_parameter_counts():
    def count(name):
        with torch.device("meta"):
            return round(sum(p.numel() for p in build_network(f"relpose_gnn.{name}").parameters()) / 1e6, 1)

    assert {name: count(name) for name in ("release", "r3", "r2", "r1")} == {
        "release": 118.9, "r3": 74.8, "r2": 34.9, "r1": 118.9,
    }  # fmt: skip


def test_without_its_unused_layers_the_release_says_the_same_bit_for_bit():
    parameters = {**RELEASE.parameters, "dimension": 16}
    torch.manual_seed(0)
    whole = RelPoseGNN(**parameters).eval()
    state, fewer = without_unused_layers(whole.state_dict(), parameters)
    lean = RelPoseGNN(**fewer).eval()
    lean.load_state_dict(state, strict=True)
    nodes = torch.randn(1, 5, 16)
    assert torch.equal(lean.poses(nodes)[1], whole.poses(nodes)[1])
    assert not any(name.startswith("gnn2.") for name in state)


def test_layers_that_run_are_never_left_out():
    state, parameters = without_unused_layers({"gnn2.a": 1}, R1.parameters)
    assert state == {"gnn2.a": 1}
    assert parameters == R1.parameters
    with pytest.raises(ValueError, match="first ones"):
        without_unused_layers({}, {**R1.parameters, "schedule": [1]})
