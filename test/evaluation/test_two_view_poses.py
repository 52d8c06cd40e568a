"""Poses from classified correspondences, and what is counted of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relpose_ros.evaluation.pair_counts import classification_scores, pose_accuracy
from relpose_ros.evaluation.pose_auc import relative_pose_errors_deg
from relpose_ros.evaluation.two_view_poses import pose_by_ransac, pose_of_essential
from relpose_ros.geometry.epipolar import essential_matrix
from relpose_ros.geometry.rigid import Rigid

ANGLE = 0.2
TRUTH = Rigid(
    np.array([[math.cos(ANGLE), 0, math.sin(ANGLE)], [0, 1, 0], [-math.sin(ANGLE), 0, math.cos(ANGLE)]]),
    np.array([0.6, 0.0, 0.8]),
)


def pairs(outliers=0):
    rng = np.random.default_rng(3)
    points = rng.uniform((-1, -1, 3), (1, 1, 6), (100, 3))
    moved = points @ TRUTH.rotation.T + TRUTH.translation
    second = moved[:, :2] / moved[:, 2:]
    second[:outliers] = rng.uniform(-1, 1, (outliers, 2))
    return np.hstack([points[:, :2] / points[:, 2:], second])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_pose_of_the_true_essential_is_the_true_pose(sign):
    found = pose_of_essential(sign * essential_matrix(TRUTH), pairs(), np.linspace(-1, 1, 100))
    assert max(relative_pose_errors_deg(found, TRUTH, either_sign=False)) < 1e-4


def test_ransac_finds_it_among_outliers_that_were_called_inliers():
    found = pose_by_ransac(pairs(outliers=20), np.ones(100))
    assert max(relative_pose_errors_deg(found, TRUTH)) < 0.5


def test_ransac_leaves_out_what_was_called_an_outlier():
    logits = np.where(np.arange(100) < 95, -1.0, 1.0)
    assert pose_by_ransac(pairs(outliers=95), logits) is not None
    assert pose_by_ransac(pairs(), np.where(np.arange(100) < 96, -1.0, 1.0)) is None


@pytest.mark.parametrize("count", [0, 4])
def test_fewer_than_five_correspondences_give_no_pose(count):
    few = pairs()[:count]
    assert pose_of_essential(essential_matrix(TRUTH), few, np.ones(count)) is None
    assert pose_by_ransac(few, np.ones(count)) is None


def test_classification_scores():
    logits, distances = np.array([1.0, 1.0, -1.0, -1.0]), np.array([0, 1.0, 0, 1.0])
    scores = classification_scores(logits, distances)
    assert scores == (0.5, 0.5, 0.5, 0.5)
    scores = classification_scores(np.array([1.0, 1.0, 1.0, -1.0]), np.array([0, 0, 1.0, 1.0]))
    assert scores == pytest.approx((0.75, 2 / 3, 1.0, 0.8))


def test_a_logit_of_zero_is_an_outlier_unless_compat_drops_it():
    logits, distances = np.array([0.0, 1.0]), np.array([0.0, 0.0])
    assert classification_scores(logits, distances).recall == 0.5
    assert classification_scores(logits, distances, compat=True).recall == 1.0


def test_nothing_called_an_inlier_has_no_precision():
    assert math.isnan(classification_scores(-np.ones(3), np.zeros(3)).precision)


def test_accuracy_counts_errors_up_to_the_threshold():
    errors = np.array([1.0, 5.0, 7.0, np.inf, np.nan])
    assert pose_accuracy(errors, (5, 10)) == pytest.approx([0.4, 0.6])
    assert np.isnan(pose_accuracy(np.zeros(0), (5,))).all()
