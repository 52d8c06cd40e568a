"""What a checkpoint of a global descriptor says of itself, and how an image is fed to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.checkpoints.format import CheckpointInfo
from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.datasets.colour_statistics import IMAGENET
from relpose_ros.errors import CheckpointError, ImageError
from relpose_ros.resampling import resize_bilinear
from relpose_ros.retrieval.vgg16_input import vgg16_input

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)
INFO = CheckpointInfo("retrieval.x", retrieval=RetrievalInfo.imagenet(256, output="vlad").to_dict())


def test_what_is_written_is_read_back():
    assert RetrievalInfo.of(INFO) == RetrievalInfo.imagenet(256, output="vlad")


def test_vgg16_is_fed_what_it_was_trained_on_to_the_last_bit():
    found = network_input(IMAGE, RetrievalInfo.vgg16(4096))
    assert found.shape == (1, 3, 480, 640) and found.dtype == np.float32
    np.testing.assert_array_equal(found[0], vgg16_input(IMAGE))


def test_the_defaults_are_vgg16s_but_for_rounding():
    found = network_input(IMAGE, RetrievalInfo(dimension=4096))
    np.testing.assert_allclose(found, network_input(IMAGE, RetrievalInfo.vgg16(4096)), atol=2e-5)


def test_small_trunks_are_fed_as_imagenet():
    found = network_input(IMAGE, RetrievalInfo.imagenet(256, height=32, width=48))
    np.testing.assert_array_equal(found[0], IMAGENET.normalise(resize_bilinear(IMAGE, 32, 48)))


def test_grey_is_three_equal_colours():
    grey = IMAGE[..., 0]
    info = RetrievalInfo.imagenet(256, height=32, width=48)
    np.testing.assert_array_equal(
        network_input(grey, info), network_input(np.repeat(grey[..., None], 3, 2), info)
    )
    with pytest.raises(ImageError):
        network_input(IMAGE.astype(np.float32), info)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimension": None}, "dimension"),
        ({"dimension": 0}, "dimension"),
        ({"dimension": True}, "dimension"),
        ({"height": 1e9}, "height"),
        ({"height": 100_000}, "height"),
        ({"mean": [1, 2]}, "mean"),
        ({"mean": ["a", 2, 3]}, "mean"),
        ({"spread": [0, 1, 1]}, "spread"),
        ({"spread": [float("nan"), 1, 1]}, "spread"),
        ({"scale": 0}, "scale"),
        ({"scale": float("inf")}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"output": 3}, "output"),
        ({"output": " "}, "output"),
    ],
)
def test_what_cannot_be_is_refused_in_words(change, words):
    with pytest.raises(CheckpointError, match=f"x.safetensors.*retrieval.*{words}"):
        RetrievalInfo.of(replace(INFO, retrieval={**INFO.retrieval, **change}), "x.safetensors")


@pytest.mark.parametrize("values", [{}, {"height": 480}])
def test_a_checkpoint_that_says_nothing_is_refused(values):
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        RetrievalInfo.of(replace(INFO, retrieval=values), "x.safetensors")
