"""Both estimators answer the same question in the same words."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.two_view import opencv_estimator, robust_estimator

POSE = Rigid.from_rotation_vector([0.05, -0.2, 0.08], [0.96, -0.24, 0.12])
FIRST = Camera("pinhole", 520.0, 515.0, 318.0, 243.0, 640, 480)
SECOND = Camera("pinhole", 560.0, 566.0, 325.0, 236.0, 640, 480)


def local_points(count=150):
    return np.random.default_rng(0).uniform([-1, -0.8, 3], [1, 0.8, 9], (count, 3))


def direction_deg(first, second):
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("kind", ["opencv", "robust"])
def test_second_from_first_of_unit_length(kind):
    local = local_points()
    first, second = FIRST.project(local), SECOND.project(POSE.apply(local))
    second[:20] += 60  # outliers
    if kind == "opencv":
        estimate = opencv_estimator(FIRST.matrix, SECOND.matrix)
    else:
        estimate = robust_estimator(FIRST, SECOND)
    found = estimate(first.astype(np.float32), second.astype(np.float32))
    assert np.degrees(found.pose.distance_to(POSE)[1]) < 0.5
    assert direction_deg(found.pose.translation, POSE.translation) < 1
    assert np.linalg.norm(found.pose.translation) == pytest.approx(1)
    assert found.inliers[20:].all() and found.inliers[:20].mean() < 0.3
    assert estimate(first[:3], second[:3]) is None


def test_the_robust_estimator_knows_distortion():
    bent = Camera("plumb_bob", 400.0, 400.0, 320.0, 240.0, 640, 480, (-0.3, 0.1, 0.0, 0.0))
    local = local_points()
    found = robust_estimator(bent, SECOND)(bent.project(local), SECOND.project(POSE.apply(local)))
    assert np.degrees(found.pose.distance_to(POSE)[1]) < 0.1
    assert found.inliers.all()
