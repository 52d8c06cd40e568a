"""Normalised images: channel order, grey, scale."""

from __future__ import annotations

import numpy as np

from relpose_ros.datasets.colour_statistics import IMAGENET, SEVEN_SCENES


def test_planes_are_red_green_blue_with_mean_zero_and_variance_one():
    bgr = np.zeros((1, 1, 3), np.uint8)
    bgr[0, 0] = [10, 20, 255]
    planes = IMAGENET.normalise(bgr)[:, 0, 0]
    expected = (np.array([255, 20, 10]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(planes, expected, rtol=1e-5)


def test_grey_is_three_equal_channels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(
        IMAGENET.normalise(grey), IMAGENET.normalise(np.repeat(grey[..., None], 3, 2))
    )


def test_all_seven_scenes_are_there():
    assert sorted(SEVEN_SCENES) == ["chess", "fire", "heads", "office", "pumpkin", "redkitchen", "stairs"]
    assert all(0 < v < 0.1 for s in SEVEN_SCENES.values() for v in s.variance)
