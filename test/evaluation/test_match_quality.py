"""Matches judged by the true geometry."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.evaluation.match_quality import epipolar_inlier_rate, match_quality
from relpose_ros.geometry.epipolar import fundamental_matrix
from relpose_ros.geometry.rigid import Rigid

POSE = Rigid.from_rotation_vector([0.05, -0.2, 0.08], [0.8, -0.2, 0.1])
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


def rays(count=40):
    local = np.random.default_rng(0).uniform([-2, -1.5, 3], [2, 1.5, 9], (count, 3))
    moved = POSE.apply(local)
    return local[:, :2] / local[:, 2:], moved[:, :2] / moved[:, 2:]


def test_precision_and_score():
    first, second = rays()
    second[:10, 1] += 0.1
    quality = match_quality(POSE, first, second, keypoints=80)
    assert not quality.correct[:10].any() and quality.correct[10:].all()
    assert quality.precision == pytest.approx(0.75) and quality.score == pytest.approx(30 / 80)
    assert match_quality(POSE, first, second, 80, threshold=0.5).precision == 1


def test_the_length_of_the_translation_does_not_matter():
    first, second = rays()
    second[:10, 1] += 0.01
    longer = Rigid(POSE.rotation, 100 * POSE.translation)
    assert match_quality(longer, first, second, 40)[:2] == match_quality(POSE, first, second, 40)[:2]


def test_no_matches_are_worth_nothing():
    none = np.zeros((0, 2))
    assert match_quality(POSE, none, none, 0)[:2] == (0.0, 0.0)
    assert epipolar_inlier_rate(np.eye(3), none, none, (640, 480), (640, 480)) == 0.0


def test_inlier_rate_is_measured_in_parts_of_the_diagonal():
    first, second = rays()
    first, second = first * 500 + [320, 240], second * 500 + [320, 240]
    second[:10, 1] += 40
    fundamental = fundamental_matrix(POSE, K, K)
    assert epipolar_inlier_rate(fundamental, first, second, (640, 480), (640, 480)) == pytest.approx(0.75)
    huge = (64000, 48000)
    assert epipolar_inlier_rate(fundamental, first, second, huge, huge) == 1
    assert epipolar_inlier_rate(fundamental, first, second, huge, (640, 480)) == pytest.approx(0.75)
