"""Before and after a calibration: the curves' points are right and the page stands by itself."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from scipy.stats import chi2

from relpose_ros.evaluation.page.calibration import verdict, write_calibration_page
from relpose_ros.evaluation.plots.before_after import BeforeAfter, frequencies


@pytest.fixture
def data() -> BeforeAfter:
    """Overconfident before, right after."""
    nees = chi2.ppf((np.arange(200) + 0.5) / 200, 6)
    confidence = np.linspace(0.5, 1, 100)
    return BeforeAfter(4 * nees, nees, np.ones(100), confidence, np.arange(100) % 4 > 0)


def test_the_verdict_has_both_figures(data: BeforeAfter) -> None:
    text = verdict(data)
    before = float((data.nees_before < chi2.ppf(0.95, 6)).mean())
    assert f"held it {before:.1%} of the time before, 95.0% after (200 images leave" in text


def test_frequencies_of_groups_of_equal_size() -> None:
    confidence = np.array([0.9] * 10 + [0.2] * 10)
    right = np.array([True] * 9 + [False] + [True] * 2 + [False] * 8)
    (low, few), (high, most) = frequencies(confidence, right, groups=2)
    assert low == pytest.approx(0.2) and (few.value, few.count) == (0.2, 10)
    assert high == pytest.approx(0.9) and most.value == 0.9
    assert len(frequencies(confidence[:3], right[:3])) == 1, "a handful is one group"


def test_page_and_picture(data: BeforeAfter, tmp_path) -> None:
    page, picture = write_calibration_page(
        data, {"images": "200"}, ["less careful: <so>"], tmp_path / "office.calibration.html", "Office <1>"
    )
    text = page.read_text()
    assert not re.search(r"<script|(src|href)=\"http|url\(http|@import", text)
    assert text.count("<svg") == 2 and "less careful: &lt;so&gt;" in text and "Office &lt;1&gt;" in text
    assert picture.name == "office.calibration.png"
    image = cv2.imread(str(picture))
    assert image.shape[1] > image.shape[0] > 300 and (image[0, 0] == 255).all() and image.std() > 10
    assert len(list(tmp_path.iterdir())) == 2
