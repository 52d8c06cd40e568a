"""The covariance of a path against many noisy ones."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.evaluation.simulated_odometry import OdometryNoise, simulate_odometry
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking.motion_noise import path_covariance, scale_jacobian
from relpose_ros.localization.tracking.odometry_buffer import OdometryBuffer, Path
from relpose_ros.localization.tracking.options import TrackerOptions

OPTIONS = TrackerOptions()


def bend(steps: int) -> tuple[np.ndarray, Rigid]:
    """Half a circle of 4 m radius in 8 s."""
    part = np.linspace(0, 1, steps + 1)
    angle = np.pi * part
    vectors = np.c_[np.zeros((steps + 1, 2)), angle]
    return 8 * part, Rigid.from_rotation_vector(
        vectors, np.c_[4 * np.sin(angle), 4 - 4 * np.cos(angle), 0 * angle]
    )


def path_of(steps: int) -> Path:
    stamps, poses = bend(steps)
    return Path(stamps, poses)


def test_growth_does_not_depend_on_the_rate_of_samples():
    coarse, fine = path_covariance(path_of(40), OPTIONS), path_covariance(path_of(400), OPTIONS)
    np.testing.assert_allclose(coarse, fine, rtol=5e-3, atol=1e-5)
    np.testing.assert_allclose(
        scale_jacobian(path_of(40)), scale_jacobian(path_of(400)), rtol=5e-3, atol=1e-2
    )


def test_more_way_more_turning_and_more_time_are_less_certain():
    still = Path(np.array([0.0, 1.0]), Rigid.stack([Rigid.identity()] * 2))
    longer = Path(np.array([0.0, 3.0]), Rigid.stack([Rigid.identity()] * 2))
    first, second = (np.trace(path_covariance(p, OPTIONS)) for p in (still, longer))
    assert 0 < first < second < np.trace(path_covariance(path_of(40), OPTIONS))


def test_white_noise_by_monte_carlo(matched: OdometryNoise):
    stamps, poses = bend(80)
    noise = OdometryNoise(**{**matched.to_json(), "scale_metres": 0, "scale_radians": 0, "rate": 1})
    options = TrackerOptions(alpha4=0, alpha5=0, alpha6=0)
    errors = _errors(stamps, poses, noise, 400)
    expected = path_covariance(Path(stamps, poses), options)
    measured = errors.T @ errors / len(errors)
    deviation = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(measured / np.outer(deviation, deviation),
                               expected / np.outer(deviation, deviation), atol=0.25)  # fmt: skip


def test_a_wrong_scale_by_simulation():
    stamps, poses = bend(80)
    noise = OdometryNoise(0.0, 0.0, 0.0, scale_metres=0.01, scale_radians=0.01, rate=1)
    factors = np.array([np.random.default_rng(s).normal(size=2) * 0.01 for s in range(20)])
    predicted = factors @ scale_jacobian(Path(stamps, poses)).T
    np.testing.assert_allclose(_errors(stamps, poses, noise, 20), predicted, atol=0.03)
    assert np.abs(predicted).max() > 0.1


def _errors(stamps: np.ndarray, poses: Rigid, noise: OdometryNoise, count: int) -> np.ndarray:
    """Twists from the true to the simulated end, in the axes of the true start."""
    true = poses[0].inverse() @ poses[-1]
    ends = [simulate_odometry(stamps, poses, seed, noise).odom_from_body[-1] for seed in range(count)]
    return np.array([true.error_to(end) for end in ends])


def test_what_was_guessed_counts_as_noise():
    made = OdometryBuffer(OPTIONS)
    for stamp in (0.0, 0.1, 0.2):
        made.add(stamp, Rigid(np.eye(3), np.array([5 * stamp, 0, 0])))
    seen, guessed = made.path(0.0, 0.2), made.path(0.0, 0.4)
    assert not seen.guessed and guessed.guessed
    grown = path_covariance(guessed, OPTIONS)[0, 0] ** 0.5
    assert grown == pytest.approx(1.0, rel=0.05)  # 0.2 s at 5 m/s
    back = path_covariance(made.path(0.4, 0.0), OPTIONS)[0, 0] ** 0.5
    assert back == pytest.approx(grown, rel=0.05)
