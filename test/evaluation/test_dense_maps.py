"""Errors of dense maps against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relpose_ros.evaluation.dense_maps import class_scores, depth_errors, normal_errors


def test_depth_errors_count_known_cells_alone():
    errors = depth_errors([[11.0, 5.0, 99.0]], [[10.0, 4.0, -1.0]], [[True, True, False]])
    assert errors.absolute_relative == pytest.approx((0.1 + 0.25) / 2)
    assert errors.rms == pytest.approx(1)
    assert math.isnan(depth_errors([1.0], [1.0], [False]).rms)


def test_normal_errors_are_exact_when_small():
    tilt = 1e-7
    angles = normal_errors([[1.0, 0, 0], [0, 2, 0]], [[math.cos(tilt), math.sin(tilt), 0], [0, 0, 3]])
    assert angles == pytest.approx([math.degrees(tilt), 90])


def test_class_scores_ignore_classes_that_do_not_occur():
    truth, predicted = np.array([[0, 0, 0, 1]]), np.array([[0, 0, 1, 1]])
    scores = class_scores(predicted, truth, classes=6)
    assert scores.accuracy == pytest.approx(0.75)
    assert scores.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores.frequency_weighted_iou == pytest.approx(0.75 * 2 / 3 + 0.25 / 2)
