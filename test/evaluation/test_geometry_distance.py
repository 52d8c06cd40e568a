"""The distance of two epipolar geometries."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.evaluation.geometry_distance import symmetric_geometric_distance
from relpose_ros.geometry.epipolar import fundamental_matrix
from relpose_ros.geometry.rigid import Rigid

SIZE = (640, 480)
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
POSE = Rigid.from_rotation_vector([0.05, -0.2, 0.08], [0.8, -0.2, 0.1])


def turned(degrees):
    turn = Rigid.from_rotation_vector([0, np.radians(degrees), 0], np.zeros(3))
    return fundamental_matrix(turn @ POSE, K, K)


def distance(first, second, **options):
    return symmetric_geometric_distance(first, second, SIZE, SIZE, samples=200, **options)


def test_grows_with_the_difference_and_is_zero_without():
    same, near, far = (distance(turned(0), turned(d)) for d in (0, 0.5, 5))
    assert same < 1e-4 < near < far < 1


def test_scale_and_sign_of_a_matrix_do_not_matter():
    assert distance(turned(0), -7 * turned(1)) == pytest.approx(distance(turned(0), turned(1)), rel=1e-3)


def test_repeats_for_a_seed_and_hardly_depends_on_it():
    a, b = distance(turned(0), turned(2)), distance(turned(0), turned(2), seed=5)
    assert a == distance(turned(0), turned(2)) != b
    assert a == pytest.approx(b, rel=0.4)


def test_lines_that_miss_the_image_are_as_far_as_can_be():
    off = np.array([[0, 0, 0], [0, 0, 1.0], [0, 0, 9999]])  # every line is y = -9999
    assert distance(off, off) == 1.0
