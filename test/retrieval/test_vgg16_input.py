"""What OpenIBL's networks see of an image."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ImageError
from relpose_ros.retrieval.vgg16_input import vgg16_input, vgg16_whole_input

MEAN = (123.68, 116.779, 103.939)


def test_red_comes_first_less_caffes_mean():
    image = np.zeros((5, 7, 3), np.uint8)
    image[..., 2] = 200  # BGR
    planes = vgg16_input(image, 4, 6)
    assert planes.shape == (3, 4, 6) and planes.dtype == np.float32
    expected = np.array([200 - MEAN[0], -MEAN[1], -MEAN[2]])
    np.testing.assert_allclose(planes.mean(axis=(1, 2)), expected, atol=1e-3)


def test_grey_has_three_equal_colours():
    planes = vgg16_input(np.full((5, 7), 90, np.uint8))
    assert planes.shape == (3, 480, 640)
    np.testing.assert_allclose(planes[:, 0, 0], 90 - np.array(MEAN), atol=1e-3)


@pytest.mark.parametrize(
    ("size", "expected"), [((60, 80), (64, 85)), ((80, 60), (85, 64)), ((9, 9), (64, 64))]
)
def test_the_whole_image_keeps_its_aspect(size, expected):
    assert vgg16_whole_input(np.zeros((*size, 3), np.uint8), 64).shape == (3, *expected)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ImageError):
        vgg16_input(np.zeros((0, 4, 3), np.uint8))
