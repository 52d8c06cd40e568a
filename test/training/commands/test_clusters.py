"""`relpose prepare clusters`, as one types it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.cli.main import main
from relpose_ros.networks.registry import build_network
from relpose_training.recipes.retrieval.initial_weights import start

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes/retrieval"))

from toy_places import write_places

NUMBERS = ["--images", "4", "--locations", "4", "--clusters", "3", "--size", "64", "96", "--device", "cpu"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return write_places(tmp_path_factory.mktemp("places"), train=4, val=2)


@pytest.fixture
def trunk(tmp_path):
    torch.manual_seed(0)
    network = build_network("retrieval.mobile", width=0.35)
    info = CheckpointInfo("retrieval.mobile", {"width": 0.35})
    return write_checkpoint(tmp_path / "trunk.safetensors", network.state_dict(), info)


def prepare(*words) -> int:
    return main(["prepare", "clusters", *map(str, words), *NUMBERS])


def test_centres_of_a_trunk_start_its_netvlad(places, trunk, tmp_path, capsys):
    out = tmp_path / "centres.hdf5"
    assert prepare(places, "--weights", trunk, "--out", out) == 0
    assert "3 centres of 16 features, 4 images" in capsys.readouterr().out
    network = build_network("retrieval.mobile_netvlad", width=0.35, clusters=3)
    assert start(network, trunk, out).left == ()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["centres.hdf5", "trunk.safetensors"]


def test_a_file_that_is_there_is_kept(places, trunk, tmp_path, capsys):
    out = tmp_path / "centres.safetensors"
    out.write_text("mine")
    assert prepare(places, "--weights", trunk, "--out", out) != 0
    assert "exists already" in capsys.readouterr().err and out.read_text() == "mine"


def test_a_network_without_netvlad_is_refused(places, trunk, tmp_path, capsys):
    words = (places, "--weights", trunk, "--out", tmp_path / "c.hdf5", "--network", "retrieval.mobile")
    assert prepare(*words) != 0
    assert "expected a network with NetVLAD" in capsys.readouterr().err
