"""The image that NetVLAD sees."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ImageError
from relpose_ros.retrieval.netvlad_input import netvlad_input, zoomed


def test_the_middle_stays_in_the_middle():
    image = np.zeros((480, 640), np.uint8)
    image[230:250, 310:330] = 255
    rows, columns = np.nonzero(zoomed(image) > 128)
    assert abs(rows.mean() - 239.5) < 1
    assert abs(columns.mean() - 319.5) < 1
    assert np.ptp(rows) > 20


def test_the_published_size_and_others_in_proportion():
    assert netvlad_input(np.zeros((480, 640, 3), np.uint8)).shape == (3, 192, 256)
    assert netvlad_input(np.zeros((240, 320), np.uint8)).shape == (3, 96, 128)


def test_no_zoom_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(zoomed(image, 1.0), image)


@pytest.mark.parametrize("zoom", [0.9, float("nan")])
def test_a_zoom_out_is_refused(zoom):
    with pytest.raises(ImageError, match="zoom"):
        zoomed(np.zeros((48, 64), np.uint8), zoom)
