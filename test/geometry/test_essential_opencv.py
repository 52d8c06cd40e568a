"""OpenCV's essential matrix: right poses, an honest inlier mask, and the published one on request."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.epipolar import essential_matrix
from relpose_ros.geometry.essential_opencv import (
    EssentialOptions,
    decompose_essential,
    relative_pose_opencv,
)
from relpose_ros.geometry.rigid import Rigid

FIRST = np.array([[520.0, 0, 318], [0, 515, 243], [0, 0, 1]])
SECOND = np.array([[1100.0, 0, 610], [0, 1080, 420], [0, 0, 1]])
POSE = Rigid.from_rotation_vector([0.05, -0.2, 0.08], np.array([0.8, -0.2, 0.1]) / np.sqrt(0.69))


def pixels(local, matrix):
    projected = local @ matrix.T
    return projected[:, :2] / projected[:, 2:]


def scene(count=200, outliers=0.4, seed=0, noise=0.3):
    """Pixels in both images, and which pairs are wrong."""
    generator = np.random.default_rng(seed)
    local = generator.uniform([-2, -1.5, 3], [2, 1.5, 9], (count, 3))
    first = pixels(local, FIRST) + generator.normal(0, noise, (count, 2))
    second = pixels(POSE.apply(local), SECOND) + generator.normal(0, noise, (count, 2))
    wrong = generator.random(count) < outliers
    second[wrong] = generator.uniform([0, 0], [1200, 900], (wrong.sum(), 2))
    return first, second, wrong


def estimate(first, second, **options):
    return relative_pose_opencv(first, second, FIRST, SECOND, EssentialOptions(**options))


@pytest.mark.parametrize("method", ["magsac", "ransac"])
@pytest.mark.parametrize("seed", range(3))
def test_pose_with_outliers(method, seed):
    first, second, wrong = scene(seed=seed)
    found = estimate(first, second, method=method)
    assert np.degrees(found.pose.distance_to(POSE)[1]) < 1.5
    assert np.degrees(np.arccos(found.pose.translation @ POSE.translation)) < 5
    assert np.linalg.norm(found.pose.translation) == pytest.approx(1)
    assert found.inliers[~wrong].mean() > 0.8 and found.inliers[wrong].mean() < 0.15


def test_the_same_input_gives_the_same_answer():
    first, second, _ = scene()
    a, b = estimate(first, second), estimate(first, second)
    assert np.array_equal(a.essential, b.essential) and np.array_equal(a.inliers, b.inliers)


def test_by_compat_outliers_stay_in_the_mask():
    first, second, wrong = scene()
    ours, published = estimate(first, second), estimate(first, second, compat=True)
    assert published.inliers[wrong].mean() > 0.9 > 0.15 > ours.inliers[wrong].mean()
    assert np.array_equal(published.essential, ours.essential)


def test_depths_are_true_and_by_compat_from_the_mean_of_both_cameras():
    local = scene_points(100)
    first, second = pixels(local, FIRST), pixels(POSE.apply(local), SECOND)
    near = (local[:, 2] < 6) & (POSE.apply(local)[:, 2] < 6)
    assert np.array_equal(estimate(first, second, max_depth=6.0).inliers, near)
    published = estimate(first, second, max_depth=6.0, compat=True)
    assert (published.inliers != near).sum() > 10


def scene_points(count):
    return np.random.default_rng(1).uniform([-2, -1.5, 3], [2, 1.5, 9], (count, 3))


def test_rows_that_are_not_finite_are_no_inliers_and_do_no_harm():
    first, second, _ = scene(outliers=0)
    first[3, 0], second[5, 1] = np.nan, np.inf
    found = estimate(first, second)
    assert not found.inliers[[3, 5]].any() and found.inliers.sum() > 150
    assert np.degrees(found.pose.distance_to(POSE)[1]) < 1


@pytest.mark.parametrize("method", ["magsac", "ransac"])
def test_what_has_no_answer_gives_none(method):
    first, second, _ = scene()
    assert estimate(first[:4], second[:4], method=method) is None
    assert estimate(first[:0], second[:0], method=method) is None
    assert estimate(np.zeros((20, 2)), np.zeros((20, 2)), method=method) is None
    assert estimate(np.full((20, 2), np.nan), second[:20], method=method) is None


def test_an_unknown_method_is_named():
    first, second, _ = scene()
    with pytest.raises(ConfigurationError, match="'lmeds'; expected one of magsac, ransac"):
        estimate(first, second, method="lmeds")


def test_decomposition_finds_the_pose_with_points_in_front():
    local = scene_points(30)
    rays1, rays2 = pixels(local, np.eye(3)), pixels(POSE.apply(local), np.eye(3))
    for scale in (1.0, -3.0):
        found = decompose_essential(scale * essential_matrix(POSE), rays1, rays2, 1000.0)
        assert np.allclose(found.pose.matrix, POSE.matrix, atol=1e-9)
        assert found.inliers.all()
    assert not decompose_essential(essential_matrix(POSE), rays1, rays2, 2.0).inliers.any()
