"""Resizing against Pillow, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from relpose_ros.errors import ImageError
from relpose_ros.resampling import resize_bilinear, resize_short_side

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 81, 3), dtype=np.uint8)


SIZES = [(30, 40), (60, 40), (60, 81), (1, 1), (100, 135), (37, 50)]


def pillow(pixels, height, width):
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0]], ids=["colour", "grey"])
def test_every_pixel_is_pillows(size, pixels):
    np.testing.assert_array_equal(resize_bilinear(pixels, *size), pillow(pixels, *size))


@pytest.mark.parametrize("size", [(7, 300), (20, 70), (300, 7)])
def test_with_another_aspect_it_is_pillows_but_for_rounding(size):
    ours, theirs = (f(PIXELS, *size).astype(int) for f in (resize_bilinear, pillow))
    assert np.abs(ours - theirs).max() <= 1


def test_extremes_stay_in_range():
    for value in (0, 255):
        assert (resize_bilinear(np.full((50, 70), value, np.uint8), 13, 11) == value).all()


@pytest.mark.parametrize(
    ("shape", "expected"), [((480, 640), (256, 341)), ((640, 480), (341, 256)), ((256, 256), (256, 256))]
)
def test_the_short_side_gets_the_length(shape, expected):
    assert resize_short_side(np.zeros(shape, np.uint8), 256).shape == expected


@pytest.mark.parametrize(
    ("pixels", "size"),
    [(PIXELS.astype(float), (3, 3)), (PIXELS[None], (3, 3)), (PIXELS[:0], (3, 3)), (PIXELS, (0, 3))],
)
def test_what_is_no_image_or_no_size_is_refused(pixels, size):
    with pytest.raises(ImageError, match="expected"):
        resize_bilinear(pixels, *size)
