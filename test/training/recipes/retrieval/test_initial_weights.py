"""What a network starts from: checkpoints of trunks, of whole networks, and cluster centres."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_training.recipes.retrieval.initial_weights import read_clusters, start

VGG = {"channels": [8, 8, 8, 8, 8]}
MOBILE = {"width": 0.35}


@pytest.fixture
def save(tmp_path):
    def write(name, **parameters):
        torch.manual_seed(7)
        network = build_network(name, **parameters)
        info = CheckpointInfo(name, parameters, licence="MIT", origin="a published file")
        return network, write_checkpoint(tmp_path / f"{name}.safetensors", network.state_dict(), info)

    return write


@pytest.fixture
def centres(tmp_path):
    """OpenIBL's layout: 4 centres of 8 values and descriptors near them."""
    rng = np.random.default_rng(0)
    found = rng.standard_normal((4, 8)).astype(np.float32)
    with h5py.File(tmp_path / "vgg16_pitts_4_desc_cen.hdf5", "w") as file:
        file["centroids"] = found
        file["descriptors"] = np.repeat(found / np.linalg.norm(found, axis=1, keepdims=True), 5, axis=0)
    return tmp_path / "vgg16_pitts_4_desc_cen.hdf5"


def test_a_trunk_and_centres_are_where_openibl_starts(save, centres):
    trunk, path = save("retrieval.max_pool_vgg16", **VGG)
    network = build_network("retrieval.netvlad_vgg16", clusters=4, **VGG)
    found = start(network, path, centres)
    assert torch.equal(network.base_model.base[28].weight, trunk.base_model.base[28].weight)
    assert torch.equal(network.net_vlad.centroids, read_clusters(centres)[0])
    assert (len(found.taken), found.left, found.licence) == (26, (), "MIT")
    assert "retrieval.max_pool_vgg16; a published file" in found.origin
    assert "vgg16_pitts_4_desc_cen.hdf5" in found.origin


def test_a_whole_network_is_taken_as_a_whole(save):
    trained, path = save("retrieval.netvlad_vgg16", clusters=4, **VGG)
    network = build_network("retrieval.netvlad_vgg16_regions", clusters=4, **VGG)
    assert start(network, path).left == ()
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in trained.state_dict().items())


def test_netvlad_leaves_the_last_stage_of_a_gem_network(save):
    trunk, path = save("retrieval.mobile", **MOBILE)
    network = build_network("retrieval.mobile_netvlad", clusters=4, dimension=16, **MOBILE)
    found = start(network, path)
    assert torch.equal(network.base_model.blocks[3][5].pw_proj.conv.weight,
                       trunk.base_model.blocks[3][5].pw_proj.conv.weight)  # fmt: skip
    assert set(found.left) == {
        "net_vlad.centroids", "net_vlad.conv.weight", "projection.weight", "projection.bias"
    }  # fmt: skip


def test_without_weights_it_says_so():
    network = build_network("retrieval.mobile", **MOBILE)
    found = start(network)
    assert (found.origin, found.licence, found.taken) == ("started from random weights", None, ())
    assert len(found.left) == len(network.state_dict())


def test_another_trunk_is_refused_and_nothing_is_loaded(save):
    _, path = save("retrieval.max_pool_vgg16", **VGG)
    network = build_network("retrieval.mobile", **MOBILE)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"max_pool_vgg16.*not the trunk of this network.*missing"):
        start(network, path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_trunk_of_another_width_is_refused(save):
    _, path = save("retrieval.mobile", **MOBILE)
    with pytest.raises(CheckpointError, match="of another shape"):
        start(build_network("retrieval.mobile", width=0.5), path)


def test_a_published_file_is_to_be_imported_first(tmp_path):
    torch.save({}, tmp_path / "vgg16-397923af.pth")
    with pytest.raises(CheckpointError, match=r"relpose checkpoint import .*vgg16-397923af\.pth"):
        start(build_network("retrieval.mobile", **MOBILE), tmp_path / "vgg16-397923af.pth")


def test_centres_without_a_netvlad_are_refused(centres):
    with pytest.raises(ConfigurationError, match=r"desc_cen\.hdf5: cluster centres are for NetVLAD"):
        start(build_network("retrieval.mobile", **MOBILE), clusters=centres)


def test_centres_of_another_trunk_are_refused(centres):
    network = build_network("retrieval.mobile_netvlad", clusters=4, **MOBILE)
    with pytest.raises(ConfigurationError, match=r"desc_cen\.hdf5: expected centres \(4, 48\)"):
        start(network, clusters=centres)


def test_another_file_is_no_centres(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["mu"] = np.zeros(3)
    with pytest.raises(CheckpointError, match=r"expected cluster centres .*found mu"):
        read_clusters(tmp_path / "x.hdf5")
