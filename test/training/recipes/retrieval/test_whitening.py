"""A PCA in the checkpoint gives what the PCA gives after the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, load_network, write_checkpoint
from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.checkpoints.retrieval_network import retrieval_header
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_ros.retrieval.pca import Pca
from relpose_training.recipes.retrieval.evaluation import describe_images
from relpose_training.recipes.retrieval.whitening import fit_whitening, with_whitening

SMALL = {
    "retrieval.netvlad_vgg16": {"channels": [8, 8, 8, 8, 8], "clusters": 4},
    "retrieval.netvlad_vgg16_regions": {"channels": [8, 8, 8, 8, 8], "clusters": 4},
    "retrieval.mobile": {"width": 0.35, "stride": 32},
    "retrieval.mobile_netvlad": {"width": 0.35, "clusters": 4, "dimension": 24},
}
DIMENSION = 6


def trained(name):
    """A network with random weights, its header, and descriptors (12, D) of noise."""
    torch.manual_seed(0)
    network = build_network(name, **SMALL[name]).eval()
    header = CheckpointInfo(name, SMALL[name], licence="CC0", retrieval=retrieval_header(name, SMALL[name]))
    return network, header, describe_images(network, images(), network.descriptor_output)


def images(count=12):
    """Noise (3, 64, 64) of another contrast and colour each."""
    rng = np.random.default_rng(1)
    return [
        (rng.normal(size=(3, 1, 1)) + rng.uniform(0.2, 2) * rng.normal(size=(3, 64, 64))).astype(np.float32)
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", SMALL)
def test_the_network_gives_what_the_pca_gave(name, tmp_path):
    network, header, vectors = trained(name)
    pca = Pca.fit(vectors, DIMENSION)
    made, info = with_whitening(network, header, pca)
    path = write_checkpoint(tmp_path / "whitened.safetensors", made.state_dict(), info)
    again, read = load_network(path)
    fed = RetrievalInfo.of(read, path)
    assert (fed.dimension, fed.output, read.licence) == (DIMENSION, "descriptor", "CC0")
    found = describe_images(again, images(), "descriptor")
    assert np.allclose(found, pca.apply(vectors), atol=1e-3)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_fitting_and_putting_in_are_one_call():
    network, header, vectors = trained("retrieval.mobile")
    made, info = fit_whitening(network, header, vectors, DIMENSION)
    expected, _ = with_whitening(network, header, Pca.fit(vectors, DIMENSION))
    assert info.parameters["whitened"] == DIMENSION
    assert torch.equal(made.pca_layer.weight, expected.pca_layer.weight)


def test_the_trained_network_is_left_as_it_was():
    network, header, vectors = trained("retrieval.mobile")
    made, _ = fit_whitening(network, header, vectors, DIMENSION)
    with torch.no_grad():
        made.base_model.conv_stem.weight.zero_()
    assert network.base_model.conv_stem.weight.abs().max() > 0 and network.pca_layer is None


def test_as_many_images_as_axes_are_too_few():
    network, header, vectors = trained("retrieval.mobile")
    with pytest.raises(ConfigurationError, match=r"expected 13 vectors .*give more images"):
        fit_whitening(network, header, vectors, 12)


def test_a_second_pca_is_refused():
    network, header, vectors = trained("retrieval.mobile")
    made, info = fit_whitening(network, header, vectors, DIMENSION)
    with pytest.raises(ConfigurationError, match="ends with one of 6 values"):
        fit_whitening(made, info, vectors[:, :DIMENSION], 3)


@pytest.mark.parametrize("name", ["retrieval.netvlad_vgg16", "retrieval.mobile"])
def test_a_pca_of_another_network_is_refused(name):
    network, header, vectors = trained(name)
    with pytest.raises(ConfigurationError, match="descriptors of this network"):
        with_whitening(network, header, Pca.fit(vectors[:, :20], DIMENSION))


def test_a_network_without_a_place_for_it_is_refused():
    _, header, vectors = trained("retrieval.netvlad_vgg16")
    other = build_network("retrieval.max_pool_vgg16", channels=[8, 8, 8, 8, 8])
    with pytest.raises(ConfigurationError, match="has no place for one"):
        with_whitening(other, replace(header, network="retrieval.max_pool_vgg16"), Pca.fit(vectors, 3))
