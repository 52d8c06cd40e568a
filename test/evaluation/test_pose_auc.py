"""Relative-pose errors and their AUC, against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.evaluation.pose_auc import (
    binned_auc,
    direction_angle_deg,
    pose_auc,
    relative_pose_errors_deg,
)
from relpose_ros.geometry.rigid import Rigid

TRUTH = Rigid.from_rotation_vector([0.1, 0.2, 0.3], [0, 0, 1])


def test_angles_are_what_was_turned():
    turned = Rigid.from_rotation_vector([0, 0, np.radians(7)], [0, 0, 0]) @ TRUTH
    tilted = Rigid(turned.rotation, np.array([np.sin(0.1), 0, np.cos(0.1)]) * 5)
    rotation, translation = relative_pose_errors_deg(tilted, TRUTH)
    assert rotation == pytest.approx(7, abs=1e-9)
    assert translation == pytest.approx(np.degrees(0.1), abs=1e-9)


def test_the_published_protocol_forgives_the_sign_of_the_translation():
    backwards = Rigid(TRUTH.rotation, -TRUTH.translation)
    assert relative_pose_errors_deg(backwards, TRUTH)[1] == pytest.approx(0)
    assert relative_pose_errors_deg(backwards, TRUTH, either_sign=False)[1] == pytest.approx(180)


def test_small_angles_are_not_lost_in_rounding():
    assert direction_angle_deg(np.array([1.0, 0, 0]), np.array([1.0, 1e-9, 0])) == pytest.approx(
        np.degrees(1e-9)
    )


def test_no_pose_is_infinitely_wrong():
    assert relative_pose_errors_deg(None, TRUTH) == (np.inf, np.inf)
    broken = Rigid(np.full((3, 3), np.nan), np.zeros(3))
    assert relative_pose_errors_deg(broken, TRUTH) == (np.inf, np.inf)


def test_area_by_hand():
    # From (0, 0) to (4, 1/2), then level to 10: (4/4 + 6/2) / 10.
    assert pose_auc(np.array([4.0, np.inf]), [10]) == pytest.approx(0.4)
    # An error of 0 makes recall jump at once.
    assert pose_auc(np.array([0.0, np.inf]), [10]) == pytest.approx(0.5)


@pytest.mark.parametrize("auc", [pose_auc, binned_auc])
def test_bounds_and_order(auc):
    errors = np.random.default_rng(0).exponential(8, 100)
    assert auc(np.zeros(5), [5, 10]) == pytest.approx([1, 1])
    assert auc(np.full(5, np.inf), [5, 10]) == pytest.approx([0, 0])
    assert (np.diff(auc(errors, [5, 10, 20])) > 0).all()
    assert np.array_equal(auc(errors[::-1], [5, 10]), auc(errors, [5, 10]))
    assert (auc(errors * 2, [5, 10, 20]) < auc(errors, [5, 10, 20])).all()
    assert np.isnan(auc(np.zeros(0), [5])).all()
    assert auc(np.array([1.0, np.nan]), [5]) == pytest.approx(auc(np.array([1.0, np.inf]), [5]))


def test_bins_by_hand_and_how_they_flatter():
    errors = np.array([3.0, 7.0, 12.0, np.inf])
    assert binned_auc(errors, [5, 10, 15]) == pytest.approx([0.25, (0.25 + 0.5) / 2, (0.25 + 0.5 + 0.75) / 3])
    assert (binned_auc(errors, [5, 10, 15]) > pose_auc(errors, [5, 10, 15])).all()
