"""Poses as six numbers: both ways, at half a turn, normalised, inverted."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.pose_vectors import CAMBRIDGE, PoseVectors, quaternion_exp, quaternion_log
from relpose_ros.geometry.rigid import Rigid

HALF_TURN = Rigid(np.diag([1.0, -1.0, -1.0]), np.zeros(3))


def some_poses(count: int = 50) -> Rigid:
    generator = np.random.default_rng(0)
    turns = generator.normal(size=(count, 3))
    turns[:5] = np.array([[0, 0, 0], [1e-9, 0, 0], [0, 1e-4, 0], [np.pi - 1e-9, 0, 0], [0, 0, 3.0]])
    return Rigid.from_rotation_vector(turns, generator.normal(0, 10, (count, 3)))


def test_the_logarithm_is_half_the_rotation_vector():
    poses = some_poses()
    np.testing.assert_allclose(PoseVectors().write(poses)[:, 3:], poses.rotation_vector / 2, atol=1e-9)


def test_small_rotations_keep_their_digits():
    """acos(w) would give 0 here."""
    tiny = np.array([1e-10, -2e-10, 0.0])
    np.testing.assert_allclose(quaternion_log(quaternion_exp(tiny)), tiny, rtol=1e-12)
    assert np.all(quaternion_log([0.0, 0.0, 0.0, 1.0]) == 0)


def test_exp_gives_unit_quaternions():
    vectors = np.random.default_rng(0).normal(0, 2, (100, 3))
    np.testing.assert_allclose(np.linalg.norm(quaternion_exp(vectors), axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize(
    "way", [PoseVectors(), CAMBRIDGE, PoseVectors(compat=True)], ids=["plain", "cambridge", "compat"]
)
def test_what_is_written_can_be_read(way):
    poses = some_poses()
    np.testing.assert_allclose(way.read(way.write(poses)).matrix, poses.matrix, atol=1e-7)
    assert way.write(poses[0]).shape == (6,)


def test_half_a_turn_stays_one_and_compat_loses_it():
    np.testing.assert_allclose(
        PoseVectors().read(PoseVectors().write(HALF_TURN)).rotation, HALF_TURN.rotation, atol=1e-12
    )
    assert np.all(PoseVectors(compat=True).write(HALF_TURN) == 0)


def test_inverse_writes_camera_from_map():
    poses = some_poses()
    np.testing.assert_allclose(
        PoseVectors(inverse=True).write(poses), PoseVectors().write(poses.inverse()), atol=1e-12
    )
