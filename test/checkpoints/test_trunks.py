"""Trunks trained on ImageNet, as torchvision and timm publish them, become checkpoints to start from."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from relpose_ros.checkpoints.catalogue import TRUNKS
from relpose_ros.checkpoints.format import load_network
from relpose_ros.checkpoints.importing import import_checkpoint
from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.datasets.colour_statistics import IMAGENET
from relpose_ros.errors import CheckpointError
from relpose_ros.networks.retrieval.mobile_trunk import MobileTrunk
from relpose_ros.networks.retrieval.vgg16 import SMALL_CHANNELS, Vgg16


@pytest.fixture(scope="module")
def vgg():
    """As torchvision saves VGG16: `features.N`, and a classifier; of few channels."""
    torch.manual_seed(0)
    trunk = {f"features.{k}": v for k, v in Vgg16(SMALL_CHANNELS).base.state_dict().items()}
    return {**trunk, "classifier.0.weight": torch.zeros(4, 32), "classifier.0.bias": torch.zeros(4)}


@pytest.fixture(scope="module")
def timm():
    """As timm saves MobileNetV4-Conv-Small (here a third as wide): a trunk and its head."""
    torch.manual_seed(1)
    head = {"conv_head.weight": torch.zeros(8, 336, 1, 1), "norm_head.bias": torch.zeros(8)}
    return {**MobileTrunk(0.35).state_dict(), **head, "classifier.bias": torch.zeros(4)}


def picture() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8)


def output(path, image) -> torch.Tensor:
    """What the trunk of a checkpoint makes of an image that is fed as its header says."""
    network, info = load_network(path)
    fed = RetrievalInfo.of(info)
    sized = RetrievalInfo(**{**fed.to_dict(), "height": 64, "width": 96})
    with torch.no_grad():
        return network.base_model(torch.from_numpy(network_input(image, sized)))


@pytest.mark.parametrize("system", ["torchvision", "torchvision-caffe"])
def test_torchvisions_vgg16_becomes_a_trunk(system, vgg, tmp_path):
    broken = {**vgg, "classifier.0.bias": torch.full((4,), torch.nan)}  # Caffe's release has no classifier
    torch.save(broken, tmp_path / "vgg16.pth")
    info = import_checkpoint(system, [tmp_path / "vgg16.pth"], tmp_path / "out.safetensors")
    assert info.network == "retrieval.max_pool_vgg16" and "BSD" in info.licence
    assert RetrievalInfo.of(info).dimension == 32
    network, _ = load_network(tmp_path / "out.safetensors")
    same = torch.equal(network.base_model.base[0].weight, vgg["features.0.weight"])
    assert same == (system == "torchvision-caffe")
    assert torch.equal(network.base_model.base[28].weight, vgg["features.28.weight"])


def test_colours_of_torchvision_move_into_the_first_convolution(vgg, tmp_path):
    """Fed as every VGG16 here, it sees what torchvision's sees of ImageNet's normalisation."""
    torch.save(vgg, tmp_path / "vgg16.pth")
    import_checkpoint("torchvision", [tmp_path / "vgg16.pth"], tmp_path / "out.safetensors")
    original = Vgg16(SMALL_CHANNELS)
    original.base.load_state_dict({k[9:]: v for k, v in vgg.items() if k.startswith("features.")})
    with torch.no_grad():
        expected = original(torch.from_numpy(IMAGENET.normalise(picture()))[None])
    found = output(tmp_path / "out.safetensors", picture())
    assert float((found - expected).abs().max()) < 0.01 * float(expected.abs().max())  # the border differs


def test_timms_trunk_becomes_a_gem_network(timm, tmp_path):
    save_file(timm, tmp_path / "model.safetensors")
    info = import_checkpoint("timm", [tmp_path / "model.safetensors"], tmp_path / "out.safetensors")
    assert (info.network, info.parameters) == ("retrieval.mobile", {"width": 0.35})
    assert "Apache-2.0" in info.licence
    fed = RetrievalInfo.of(info)
    assert (fed.dimension, fed.height, fed.width, fed.output) == (336, 480, 640, "descriptor")
    assert fed.mean == pytest.approx((0.485, 0.456, 0.406)) and fed.scale == pytest.approx(1 / 255)
    trunk = MobileTrunk(0.35).eval()
    trunk.load_state_dict({k: v for k, v in timm.items() if "head" not in k and "classifier" not in k})
    with torch.no_grad():
        expected = trunk(torch.from_numpy(IMAGENET.normalise(picture()))[None])
    assert torch.allclose(output(tmp_path / "out.safetensors", picture()), expected, atol=1e-4)


def test_timms_trunk_and_cluster_centres_become_a_netvlad(timm, tmp_path):
    save_file(timm, tmp_path / "model.safetensors")
    centres = np.random.default_rng(3).standard_normal((4, 48)).astype(np.float32)
    with h5py.File(tmp_path / "centres.hdf5", "w") as file:
        file["centroids"], file["descriptors"] = centres, np.repeat(centres, 5, axis=0)
    files = [tmp_path / "model.safetensors", tmp_path / "centres.hdf5"]
    info = import_checkpoint("timm", files, tmp_path / "out.safetensors")
    assert info.network == "retrieval.mobile_netvlad"
    network, _ = load_network(tmp_path / "out.safetensors")
    assert np.allclose(network.net_vlad.centroids.detach(), centres)


def test_another_model_of_timms_says_what_differs(timm, tmp_path):
    other = {k: v for k, v in timm.items() if k != "blocks.2.0.dw_mid.conv.weight"}
    save_file(other, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing: base_model\.blocks\.2\.0\.dw_mid\.conv\.weight"):
        import_checkpoint("timm", [tmp_path / "model.safetensors"], tmp_path / "out.safetensors")


def test_trunks_that_can_be_fetched_are_of_commercial_licences_and_known_networks():
    assert [release.name for release in TRUNKS] == [
        "timm:mobilenetv4-conv-small",
        "torchvision:vgg16",
        "torchvision-caffe:vgg16",
    ]
    assert not any(release.publisher.non_commercial for release in TRUNKS)
    assert all(release.sha256 is None or release.sha256 in release.url for release in TRUNKS)
