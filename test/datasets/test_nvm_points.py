"""Points of a VisualSFM model."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.datasets.nvm_points import nvm_points
from relpose_ros.errors import DatasetError

HEAD = "NVM_V3 \n\n2\nseq1/a.b.jpg\t1600 1 0 0 0 0 0 0 -0.02 0\nseq1\\c.jpg 1600 1 0 0 0 0 0 0 0 0\n\n"
POINTS = "3\n1 2 3 0 0 0 2 0 5 1.5 2.5 1 7 3 4\n4 5 6 9 9 9 1 1 0 0 0\n7 8 9 1 1 1 2 0 1 1 1 0 2 1 1\n0\n"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "reconstruction.nvm"
        path.write_text(text)
        return path

    return write


def test_each_image_sees_its_points_once(write):
    seen = nvm_points(write(HEAD + POINTS))
    assert list(seen) == ["seq1/a.b", "seq1/c"]
    np.testing.assert_array_equal(seen["seq1/a.b"], [[1, 2, 3], [7, 8, 9]])
    np.testing.assert_array_equal(seen["seq1/c"], [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "NVM_V3"),
        ("ply", "NVM_V3"),
        (HEAD, "number of cameras or points"),
        (HEAD + "4\n" + POINTS[2:].removesuffix("0\n"), "too early"),
        (HEAD + "1\n1 2 3 0 0 0 2 0 5 1.5 2.5", "fields"),
        (HEAD + "1\n1 2 3 0 0 0 1 9 5 1.5 2.5", "one of 2 images, got number 9"),
        (HEAD + "1\n1 2 nan 0 0 0 0", "finite"),
        (HEAD + "1\n1 2 3 0 0 0", "expected X Y Z"),
        (HEAD + "1\n1 2", "expected X Y Z"),
    ],
)
def test_broken_models(write, text, match):
    with pytest.raises(DatasetError, match=match):
        nvm_points(write(text))
