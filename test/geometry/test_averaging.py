"""Means of poses: exact agreement, frames, weights, outliers, covariance by Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from relpose_ros.geometry.averaging import robust_mean, weighted_mean
from relpose_ros.geometry.rigid import Rigid

TRUTH = Rigid.from_rotation_vector([0.4, -2.0, 1.0], [3.0, -1.0, 2.0])


def around(truth: Rigid, count: int, seed: int, metres: float = 0.1, radians: float = 0.05) -> Rigid:
    generator = np.random.default_rng(seed)
    twists = generator.normal(0, [metres] * 3 + [radians] * 3, (count, 6))
    return Rigid.stack([truth.perturbed(t) for t in twists])


def with_outliers(poses: Rigid, count: int, seed: int) -> Rigid:
    """All wrong in the same way: the worst case."""
    wrong = Rigid.from_rotation_vector([2.0, 1.0, 0.0], [40.0, 40.0, -40.0])
    return Rigid.stack(
        [*(poses[i] for i in range(len(poses))), *(around(wrong, count, seed)[i] for i in range(count))]
    )


@pytest.mark.parametrize("mean", [weighted_mean, robust_mean])
def test_equal_opinions_are_the_answer(mean):
    found = mean(Rigid.stack([TRUTH] * 4))
    np.testing.assert_allclose(found.pose.matrix, TRUTH.matrix, atol=1e-9)
    np.testing.assert_allclose(found.covariance, 0, atol=1e-12)


@pytest.mark.parametrize("mean", [weighted_mean, robust_mean])
def test_one_opinion_is_the_answer(mean):
    np.testing.assert_allclose(mean(Rigid.stack([TRUTH])).pose.matrix, TRUTH.matrix, atol=1e-12)


@pytest.mark.parametrize("mean", [weighted_mean, robust_mean])
def test_the_answer_moves_with_the_map(mean):
    poses = around(TRUTH, 9, 0, 1.0, 0.4)
    new_from_map = Rigid.from_rotation_vector([1.0, 0.5, -0.3], [9.0, 8.0, 7.0])
    expected = new_from_map @ mean(poses).pose
    np.testing.assert_allclose(mean(new_from_map @ poses).pose.matrix, expected.matrix, atol=1e-6)


@pytest.mark.parametrize("mean", [weighted_mean, robust_mean])
def test_weights_count_like_copies_and_zero_like_absence(mean):
    poses = around(TRUTH, 5, 1)
    copies = poses[np.array([0, 0, 1, 2, 3, 4])]
    found = mean(poses, [2, 1, 1, 1, 1]).pose
    np.testing.assert_allclose(found.matrix, mean(copies).pose.matrix, atol=1e-6)
    fewer = mean(poses, [1, 1, 1, 0, 1]).pose
    np.testing.assert_allclose(fewer.matrix, mean(poses[np.array([0, 1, 2, 4])]).pose.matrix, atol=1e-6)


def test_three_wrong_of_seven_do_not_carry_the_robust_mean_away():
    for seed in range(20):
        poses = with_outliers(around(TRUTH, 4, seed), 3, 100 + seed)
        metres, radians = robust_mean(poses).pose.distance_to(TRUTH)
        assert metres < 0.4
        assert radians < 0.2
    assert weighted_mean(poses).pose.distance_to(TRUTH)[0] > 10


def test_the_robust_mean_minimises_the_sum_of_distances():
    poses = around(TRUTH, 8, 3, 1.0, 0.3)
    found = robust_mean(poses)
    generator = np.random.default_rng(0)
    for scale in (1e-2, 1e-1):
        for twist in generator.normal(0, scale, (50, 6)):
            metres, radians = found.pose.perturbed(twist).distance_to(poses)
            assert metres.sum() >= found.distance.sum() - 1e-6
            assert radians.sum() >= found.angle.sum() - 1e-4


def test_an_opinion_that_is_the_median_stops_the_iteration():
    """Weiszfeld's step is not defined there; of five points on a line the middle one is the answer."""
    places = np.array([[-9.0, 0, 0], [-1, 0, 0], [0, 0, 0], [1, 0, 0], [30, 0, 0]])
    poses = Rigid(np.tile(np.eye(3), (5, 1, 1)), places)
    np.testing.assert_allclose(robust_mean(poses).pose.translation, 0, atol=1e-9)


def test_weighted_mean_of_rotations_about_one_axis():
    poses = Rigid.from_rotation_vector([[0, 0, 0.1], [0, 0, 0.3]], np.zeros((2, 3)))
    angle = Rotation.from_matrix(weighted_mean(poses).pose.rotation).as_rotvec()[2]
    assert angle == pytest.approx(0.2)


def test_the_covariance_is_that_of_the_mean_of_independent_opinions():
    """Raw, of weighted_mean: the scatter of 7 about their own mean is 6/7 of the truth."""
    errors, claimed = [], []
    for seed in range(300):
        found = weighted_mean(around(TRUTH, 7, seed))
        errors.append(found.pose.error_to(TRUTH))
        claimed.append(np.diag(found.covariance))
    ratio = np.mean(claimed, axis=0) / np.var(errors, axis=0)
    np.testing.assert_allclose(ratio, 6 / 7, atol=0.2)


@pytest.mark.parametrize("weights", [[1.0], [0, 0, 0], [1, -1, 1], [1, np.nan, 1]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="expected"):
        robust_mean(around(TRUTH, 3, 0), weights)


def test_a_single_unbatched_pose_is_refused():
    with pytest.raises(ValueError, match="expected poses"):
        robust_mean(TRUTH)
