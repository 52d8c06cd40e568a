"""Confidence fitted to a frequency: a known law is met, and nothing is claimed that was not seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.confidence import (
    MIN_EACH,
    Trial,
    confidences,
    fit_confidence,
    lacking,
    log_loss,
)

BEFORE = Calibration(min_inliers=20)


def trials(
    count: int, seed: int, offset: float = -1.0, slope: float = 0.4, best: float = 0.95
) -> list[Trial]:
    """Poses that are right as often as this curve says."""
    generator = np.random.default_rng(seed)
    support = generator.uniform(5, 200, count)
    margin = (support - 20) / 5
    chance = best / (1 + np.exp(-(offset + slope * margin)))
    right = generator.random(count) < chance
    return [Trial(float(s), 0, bool(r)) for s, r in zip(support, right, strict=True)]


def test_a_known_law_is_met() -> None:
    """Fresh poses are right as often as the fit says, in each third of the confidences."""
    fitted, fresh = fit_confidence(BEFORE, trials(800, 0)), trials(4000, 1)
    claimed = confidences([fitted] * len(fresh), fresh)
    right = np.array([t.right for t in fresh])
    for group in np.array_split(np.argsort(claimed), 3):
        assert claimed[group].mean() == pytest.approx(right[group].mean(), abs=0.05)
    assert fitted.confidence_samples == 800


def test_it_judges_fresh_poses_better_than_the_curve_that_was_not_fitted() -> None:
    fitted, fresh = fit_confidence(BEFORE, trials(200, 2)), trials(2000, 3)
    right = np.array([t.right for t in fresh])
    old, new = (log_loss(confidences([c] * len(fresh), fresh), right) for c in (BEFORE, fitted))
    assert new < 0.9 * old


@pytest.mark.parametrize("wrong", [0, MIN_EACH - 1])
def test_nothing_is_fitted_to_a_handful_of_wrong_poses(wrong: int) -> None:
    few = [Trial(100.0, 0, True)] * 200 + [Trial(15.0, 0, False)] * wrong
    assert f"200 right and {wrong} wrong" in lacking(few)
    assert fit_confidence(BEFORE, few) == BEFORE and BEFORE.confidence_samples == 0


@given(st.integers(0, 500), st.floats(0, 1000), st.floats(0, 1000), st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_it_rises_with_support_and_never_beyond_what_was_shown(
    seed: int, a: float, b: float, rival: int
) -> None:
    made = trials(60, seed)
    assume(not lacking(made))
    fitted = fit_confidence(BEFORE, made)
    low, high = (fitted.confidence(s, 0) for s in sorted((a, b)))
    assert 0 <= low <= high <= fitted.share_right <= 31 / 32
    assert fitted.confidence(a, rival) <= fitted.confidence(a, 0)


def test_unfitted_it_is_half_at_the_least_support() -> None:
    assert BEFORE.confidence(20, 0) == pytest.approx(0.5)
    assert BEFORE.confidence(40, 0) == pytest.approx(1 / (1 + np.exp(-4)))


def test_a_map_without_these_numbers_reads_as_before() -> None:
    old = {"scale": 2.0, "min_inliers": 20, "samples": 30}
    assert Calibration.from_dict(json.loads(json.dumps(old))).confidence(31, 4) == pytest.approx(
        (1 - (4 / 31) ** 2) / (1 + np.exp(-(31 - 20) / 5))
    )
