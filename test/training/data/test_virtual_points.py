"""Ideal correspondences, against OpenCV's and against their definition."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid, skew
from relpose_training.data.virtual_points import correct_matches, virtual_correspondences


def geometry(seed):
    """Sideways, forward, and in between; little and much rotation."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3) * [1, 1, (0.1, 1, 5)[seed % 3]]
    turn = Rigid.from_rotation_vector(rng.normal(size=3) * (0.05, 0.3, 1.0)[seed // 3 % 3], np.zeros(3))
    return skew(direction / np.linalg.norm(direction)) @ turn.rotation


def grid():
    axis = np.arange(-1, 1, 0.1)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)


@pytest.mark.parametrize("seed", range(18))
def test_they_are_those_of_opencv(seed):
    essential = geometry(seed)
    first, second = cv2.correctMatches(essential, grid()[None], grid()[None])
    ours = virtual_correspondences(essential)
    assert ours.dtype == np.float32 and ours.shape == (400, 4)
    np.testing.assert_allclose(ours, np.concatenate([first[0], second[0]], axis=1), atol=1e-6)


def test_matches_that_are_right_stay():
    rng = np.random.default_rng(0)
    points = rng.uniform([-1, -1, 2], [1, 1, 5], (50, 3))
    move = Rigid.from_rotation_vector([0.1, -0.2, 0.05], [0.5, 0.1, 0.2])
    moved = move.apply(points)
    first, second = points[:, :2] / points[:, 2:], moved[:, :2] / moved[:, 2:]
    found = correct_matches(skew(move.translation) @ move.rotation, first, second)
    np.testing.assert_allclose(found, (first, second), atol=1e-9)


@pytest.mark.parametrize("direction", [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0.1, -0.1, 1]])
def test_a_robot_that_drives_straight_ahead(direction):
    """The epipole is a point of the grid: finite, and nothing but the truth."""
    essential = skew(np.array(direction, float) / np.linalg.norm(direction))
    points = virtual_correspondences(essential).astype(float)
    one = np.ones((400, 1))
    first, second = np.concatenate([points[:, :2], one], 1), np.concatenate([points[:, 2:], one], 1)
    assert np.isfinite(points).all()
    assert np.abs(np.einsum("ij,jk,ik->i", second, essential, first)).max() < 1e-6
