"""Describers of images: VLAD, checkpoints, and who made a map's descriptors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import load_network, read_info, write_checkpoint
from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.errors import CheckpointError, ConfigurationError, ImageError
from relpose_ros.features.base import Features
from relpose_ros.retrieval.describer import (
    DescriberIdentity,
    Elsewhere,
    VladDescriber,
    open_describer,
    vlad_identity,
)
from relpose_ros.retrieval.learned import CheckpointDescriber
from relpose_ros.retrieval.vlad import Vlad

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (60, 80, 3), np.uint8)


@pytest.fixture(scope="module")
def describer(retrieval_checkpoint, onnx_cache):
    return open_describer(retrieval_checkpoint)


def features(count: int = 40) -> Features:
    points = RANDOM.uniform(0, 50, (count, 2)).astype(np.float32)
    return Features(points, points[:, 0], RANDOM.normal(size=(count, 8)).astype(np.float32))


def test_vlad_describes_features_and_needs_no_image():
    some = features()
    vlad = Vlad.train([features().descriptors for _ in range(5)], 4, 3)
    describer = VladDescriber(vlad)
    np.testing.assert_array_equal(describer.describe(None, some), vlad.encode(some.descriptors))
    assert (describer.needs_image, describer.dimension) == (False, 3)
    assert str(describer.identity) == "vlad3" and not describer.identity.is_learned
    with pytest.raises(ConfigurationError, match="extract"):
        describer.describe(IMAGE, None)


def test_a_checkpoint_says_what_its_network_says(describer, retrieval_checkpoint):
    import torch

    network, info = load_network(retrieval_checkpoint)
    with torch.inference_mode():
        given = torch.from_numpy(network_input(IMAGE, RetrievalInfo.of(info)))
        expected = dict(zip(network.output_names, network(given), strict=True))["vlad"][0].numpy()
    found = describer.describe(IMAGE, None)
    assert found.dtype == np.float32 and abs(np.linalg.norm(found) - 1) < 1e-6
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_runtimes_agree(describer, retrieval_checkpoint):
    expected = describer.describe(IMAGE, None)
    for backend in ("torch", "onnxruntime", "openvino"):
        found = CheckpointDescriber(retrieval_checkpoint, backend, threads=1).describe(IMAGE)
        np.testing.assert_allclose(found, expected, atol=2e-5, err_msg=backend)


@pytest.mark.parametrize(
    "shape", [(48, 64, 3), (480, 640, 3), (300, 100, 3), (1, 1, 3), (33, 57), (33, 57, 1), (720, 90)]
)
def test_any_size_and_aspect_and_grey(describer, shape):
    found = describer.describe(RANDOM.integers(0, 256, shape, np.uint8), None)
    assert found.shape == (32,) and abs(np.linalg.norm(found) - 1) < 1e-5


def test_grey_is_colour_without_colours(describer):
    grey = IMAGE[..., 0]
    colour = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_allclose(describer.describe(grey, None), describer.describe(colour, None), atol=1e-6)


@pytest.mark.parametrize("image", [None, IMAGE.astype(np.float32), IMAGE[..., :2], IMAGE[:0], IMAGE[0, 0]])
def test_what_is_no_image_is_refused(describer, image):
    with pytest.raises(ImageError):
        describer.describe(image, None)


def test_an_identity_is_read_back(describer, retrieval_checkpoint):
    identity = describer.identity
    assert DescriberIdentity.from_dict(identity.to_dict()) == identity
    assert (identity.name, identity.licence, identity.dimension) == ("places0.safetensors", "CC0-1.0", 32)
    assert identity.sha256[:12] in str(identity) and identity.is_learned


def test_who_made_descriptors_is_told_by_weights_and_settings_not_by_names(describer):
    identity = describer.identity
    same: list[dict] = [{"name": "x"}, {"licence": "x"}, {"origin": "x"}]
    for change in same:
        assert replace(identity, **change).digest == identity.digest
    for change in ({"sha256": "0" * 64}, {"settings": {"scale": 1.0}}, {"dimension": 31}, {"kind": "onnx"}):
        assert replace(identity, **change).digest != identity.digest


@pytest.mark.parametrize(
    "change", [{"kind": "pickle"}, {"dimension": 0}, {"dimension": "3"}, {"sha256": 3}, {"more": 1}]
)
def test_what_is_no_identity_is_refused(describer, change):
    with pytest.raises(ValueError, match="global descriptors"):
        DescriberIdentity.from_dict({**describer.identity.to_dict(), **change})
    with pytest.raises(ValueError, match="global descriptors"):
        DescriberIdentity.from_dict([])


def test_vlads_of_one_size_are_told_apart():
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=s).astype(np.float32) for s in ((2, 4), (8,), (8, 3))]
    identity = vlad_identity(Vlad(*arrays))
    assert not identity.is_learned and len(identity.sha256) == 64
    assert vlad_identity(Vlad(*(a.copy() for a in arrays))) == identity
    stored = Vlad(arrays[0], arrays[1], arrays[2].astype(np.float16).astype(np.float32))
    assert vlad_identity(stored).digest == identity.digest, "a map file rounds the basis"
    for k in range(3):
        other = [a + 1 if i == k else a for i, a in enumerate(arrays)]
        assert vlad_identity(Vlad(*other)).digest != identity.digest


def test_elsewhere_describes_nothing():
    vlad = Vlad(np.zeros((2, 4), np.float32), np.zeros(8, np.float32), np.zeros((8, 3), np.float32))
    stand_in = Elsewhere(vlad_identity(vlad))
    assert stand_in.dimension == 3
    with pytest.raises(ConfigurationError, match="without vlad3"):
        stand_in.describe(IMAGE, features())


def test_other_checkpoints_are_refused(ratio_pruner, tmp_path):
    with pytest.raises(CheckpointError, match=r"one_to_one\.ltfgc.*says nothing"):
        open_describer(ratio_pruner)
    with pytest.raises(CheckpointError, match="found no file"):
        open_describer(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"output": "logits"}, "'logits'.*pool, vlad"), ({"dimension": 31}, r"31 values.*\(1, 32\)")],
)
def test_a_header_that_does_not_fit_its_network_is_refused_at_start(
    make_retrieval_checkpoint, onnx_cache, fields, words
):
    with pytest.raises(CheckpointError, match=words):
        open_describer(make_retrieval_checkpoint(**fields))


def test_broken_weights_are_noticed_at_start(retrieval_checkpoint, onnx_cache, tmp_path):
    weights = read_container(retrieval_checkpoint)
    weights["net_vlad.centroids"] = weights["net_vlad.centroids"] * float("nan")
    path = write_checkpoint(tmp_path / "nan.safetensors", weights, read_info(retrieval_checkpoint))
    with pytest.raises(CheckpointError, match=r"nan\.safetensors.*not finite"):
        open_describer(path)
