"""Colours of training images."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.errors import ConfigurationError
from relpose_ros.retrieval.vgg16_input import vgg16_input
from relpose_training.data.image_transforms import (
    Augmentation,
    ColourJitter,
    random_part,
    training_input,
    turn_hue,
)

IMAGE = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0))
SMALL = RetrievalInfo.vgg16(1, height=12, width=16)
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


def drawn(jitter, seed=0):
    return jitter(IMAGE, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("turn", [0.0, 0.1, -0.3, 0.5, 1.0])
def test_hue_turns_as_the_standard_library_has_it(turn):
    ours = turn_hue(IMAGE, turn).flatten(1).T.numpy()
    for pixel, found in zip(IMAGE.flatten(1).T.tolist(), ours, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_grey_has_no_hue():
    grey = torch.full((3, 2, 2), 0.3)
    torch.testing.assert_close(turn_hue(grey, 0.4), grey)


def test_nothing_changes_without_strength():
    torch.testing.assert_close(drawn(ColourJitter(0, 0, 0, 0)), IMAGE, atol=1e-6, rtol=0)


@pytest.mark.parametrize("which", ["brightness", "contrast", "saturation", "hue"])
def test_each_step_changes_what_it_says(which):
    changed = drawn(
        ColourJitter(**{**dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0), which: 0.4})
    )
    assert (changed - IMAGE).abs().max() > 0.01
    assert changed.min() >= 0 and changed.max() <= 1
    luma = torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114]), IMAGE)
    after = torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114]), changed)
    if which == "hue":
        torch.testing.assert_close(changed.amax(dim=0), IMAGE.amax(dim=0))
    elif which != "saturation":
        inner = (changed > 0).all(dim=0) & (changed < 1).all(dim=0)
        slope = torch.diff(after[inner]) / torch.diff(luma[inner])
        torch.testing.assert_close(slope, slope[:1].expand_as(slope), atol=1e-2, rtol=1e-2)


def test_the_generator_decides():
    jitter = ColourJitter()
    torch.testing.assert_close(drawn(jitter, 1), drawn(jitter, 1))
    assert (drawn(jitter, 1) - drawn(jitter, 2)).abs().max() > 0.01


def test_training_images_are_test_images_of_other_colours():
    generator = torch.Generator().manual_seed(0)
    plain = training_input(PIXELS, generator, SMALL)
    np.testing.assert_array_equal(plain, vgg16_input(PIXELS, 12, 16))
    still = training_input(PIXELS, generator, SMALL, Augmentation(ColourJitter(0, 0, 0, 0)))
    np.testing.assert_array_equal(still, plain)
    assert np.abs(training_input(PIXELS, generator, SMALL, Augmentation(ColourJitter())) - plain).max() > 5
    assert training_input(PIXELS[..., 0], generator, SMALL, Augmentation(ColourJitter())).shape == (3, 12, 16)


@pytest.mark.parametrize("strengths", [{"brightness": 1.5}, {"contrast": -0.1}, {"hue": 0.6}])
def test_strengths_out_of_range(strengths):
    with pytest.raises(ConfigurationError):
        ColourJitter(**strengths)


def test_a_random_part_is_no_smaller_than_asked():
    image = np.arange(90 * 120).reshape(90, 120).astype(np.int64)
    shares, corners = [], set()
    for seed in range(200):
        part = random_part(image, torch.Generator().manual_seed(seed), 0.4)
        shares.append(part.size / image.size)
        corners.add(int(part[0, 0]))
        assert (np.diff(part, axis=1) == 1).all() and (np.diff(part, axis=0) == 120).all()
    assert 0.59 < min(shares) < 0.65 and max(shares) > 0.95
    assert len(corners) > 100
    np.testing.assert_array_equal(random_part(image, torch.Generator(), 0.0, 1.0), image)


def test_parts_out_of_range():
    with pytest.raises(ConfigurationError, match="crop"):
        Augmentation(crop=1.0)
