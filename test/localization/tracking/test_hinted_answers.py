"""Answers that stand by a hint: which follow each other, and where the hint goes with them."""

from __future__ import annotations

import numpy as np

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint
from relpose_ros.localization.tracking import TrackerOptions
from relpose_ros.localization.tracking.hinted_answers import LONGEST_PAUSE, HintedAnswers, Sighting

HINTED = Rigid.from_rotation_vector([0.0, 0.0, 0.5], [1.0, 2.0, 3.0])
WIDE = np.diag([0.25] * 3 + [0.07] * 3)
SHARP = np.diag([1e-4] * 3 + [1e-6] * 3)
OPTIONS = TrackerOptions(min_consistent_fixes=3)


def beside(metres: float) -> Rigid:
    return HINTED.perturbed([metres, 0, 0, 0, 0, 0])


def test_a_long_pause_begins_anew():
    row = HintedAnswers(1.0, OPTIONS)
    hint = Hint(HINTED, WIDE)
    for stamp, count in ((0.0, 1), (1.0, 2), (1.0 + LONGEST_PAUSE + 0.1, 1), (4.5, 2), (4.5, 1), (4.2, 1)):
        row.add(Sighting(stamp, HINTED, SHARP), hint)
        assert row.count == count
    assert not row.are_enough


def test_outliers_on_the_way_do_not_wear_the_hint_out():
    """It is carried from the first answer to the last, whatever was between."""
    row, hint = HintedAnswers(1.0, OPTIONS), Hint(HINTED, WIDE)
    random = np.random.default_rng(0)
    for k in range(200):
        pose = beside(0.05 * k).perturbed(np.r_[random.normal(size=3) * 0.01, random.normal(size=3) * 0.001])
        moved = row.add(Sighting(0.1 * k, pose, SHARP), hint)
    assert row.count == 200
    assert moved.map_from_camera.distance_to(beside(0.05 * 199))[0] < 0.1
    assert np.allclose(moved.covariance, WIDE + 2 * SHARP, atol=1e-6)


def test_the_error_of_a_hint_stays_what_it_is():
    """By Monte Carlo: where the base is, minus where the hint has been carried to, has its covariance."""
    random = np.random.default_rng(1)
    shape = random.normal(size=(6, 6))
    covariance = 0.01 * (np.eye(6) + shape @ shape.T / 6)
    truth = [HINTED.perturbed([0.1 * k, -0.05 * k, 0, 0, 0.02 * k, 0.05 * k]) for k in range(30)]
    whitened = []
    for error in random.multivariate_normal(np.zeros(6), covariance, 400):
        row, hint = HintedAnswers(1.0, OPTIONS), Hint(truth[0].perturbed(error), covariance)
        for k in (0, 10, 20, 29):
            moved = row.add(Sighting(0.1 * k, truth[k], 1e-9 * np.eye(6)), hint)
        rest = truth[29].error_to(moved.map_from_camera)
        whitened.append(np.linalg.solve(np.linalg.cholesky(moved.covariance), rest))
    assert np.allclose(np.cov(np.transpose(whitened)), np.eye(6), atol=0.3)
