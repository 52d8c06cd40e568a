"""Odometry out of ground truth: as noisy as it says, the same for a seed, and blind to a kidnapping."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.simulated_odometry import Kidnapping, OdometryNoise, simulate_odometry
from relpose_ros.geometry.rigid import Rigid

EXACT = OdometryNoise(0.0, 0.0, 0.0, 0.0, 0.0, rate=10.0)
STAMPS = np.array([1.0, 1.5, 2.0, 3.0])
TRUTH = Rigid.from_rotation_vector(
    [[0, 0, 0.3 * i] for i in range(4)], [[2.0 + i, 0.5 * i * i, 0] for i in range(4)]
)


def test_without_noise_it_is_the_truth_in_another_frame():
    made = simulate_odometry(STAMPS, TRUTH, 0, EXACT)
    assert made.frame_stamps.tolist() == STAMPS.tolist() and len(made.stamps) == 21
    assert (np.diff(made.stamps) > 0).all() and np.diff(made.stamps).max() <= 0.1 + 1e-9
    at_frames = made.odom_from_body[np.searchsorted(made.stamps, STAMPS)]
    np.testing.assert_allclose((TRUTH[:1].inverse() @ TRUTH).matrix, at_frames.matrix, atol=1e-12)


def test_a_seed_is_a_drive():
    first, again, other = (simulate_odometry(STAMPS, TRUTH, s).odom_from_body.matrix for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_noise_has_the_size_it_says_whatever_the_rate():
    stamps, truth = np.array([0.0, 4.0]), Rigid.stack([Rigid.identity(), Rigid(np.eye(3), np.r_[4.0, 0, 0])])
    for rate in (5.0, 25.0):
        noise = OdometryNoise(0.03, 0.0, 0.0, 0.0, 0.0, rate)
        ends = [simulate_odometry(stamps, truth, s, noise).odom_from_body.translation[-1] for s in range(200)]
        assert np.std(np.array(ends) - [4.0, 0, 0]) == pytest.approx(0.06, rel=0.15)


def test_a_kidnapping_is_unseen_and_smooth():
    carried = Kidnapping(metres=2.0, radians=1.0, seconds=1.5)
    made = simulate_odometry(STAMPS, TRUTH, 0, EXACT, kidnapped_after=1, kidnapping=carried)
    assert made.frame_stamps.tolist() == [1.0, 1.5, 3.5, 4.5]
    at_frames = made.odom_from_body[np.searchsorted(made.stamps, made.frame_stamps)]
    map_from_odom = TRUTH @ at_frames.inverse()
    before, after = map_from_odom[0], map_from_odom[-1]
    np.testing.assert_allclose(map_from_odom[1].matrix, before.matrix, atol=1e-9)
    np.testing.assert_allclose(map_from_odom[2].matrix, after.matrix, atol=1e-9)
    assert before.distance_to(after)[1] == pytest.approx(1.0)
    speed = np.linalg.norm(np.diff(made.odom_from_body.translation, axis=0), axis=1) / np.diff(made.stamps)
    assert speed.max() < 5.0


@pytest.mark.parametrize("stamps", [[1.0], [1.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]])
def test_stamps_that_do_not_rise_are_refused(stamps: list[float]):
    with pytest.raises(ConfigurationError, match="rising stamps"):
        simulate_odometry(stamps, TRUTH[: len(stamps)], 0)


def test_scaled_noise_is_the_same_in_a_scaled_world():
    big = Rigid(TRUTH.rotation, 10 * TRUTH.translation)
    noise = OdometryNoise(rate=10.0)
    plain = simulate_odometry(STAMPS, TRUTH, 2, noise).odom_from_body
    scaled = simulate_odometry(STAMPS, big, 2, noise.scaled(10.0)).odom_from_body
    np.testing.assert_allclose(scaled.translation, 10 * plain.translation, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scaled.rotation, plain.rotation, atol=1e-12)
