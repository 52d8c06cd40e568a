"""True matches: found where depth says so, and nothing certain is said about what nobody knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.reprojection_matches import (
    PosedKeypoints,
    ReprojectionOptions,
    certainly_unmatched,
    depth_at,
    reprojection_matches,
)

K0 = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
K1 = np.array([[450.0, 0, 300], [0, 440, 250], [0, 0, 1]])
WORLD = Rigid.from_rotation_vector([0.3, -0.2, 0.1], [4, 5, 6])
SECOND_FROM_FIRST = Rigid.from_rotation_vector([0.02, -0.1, 0.05], [0.7, 0.1, 0.2])


def view(points, camera_from_world, matrix):
    local = camera_from_world.apply(points)
    pixels = local @ matrix.T
    return PosedKeypoints(pixels[:, :2] / pixels[:, 2:], local[:, 2], matrix, camera_from_world)


def pair(count=60, seed=0):
    """Two views of the same points; the second has them in another order, its points are sorted back."""
    generator = np.random.default_rng(seed)
    local = generator.uniform([-2, -1.5, 3], [2, 1.5, 9], (count, 3))
    points = WORLD.inverse().apply(local)
    order = generator.permutation(count)
    second = view(points[order], SECOND_FROM_FIRST @ WORLD, K1)
    return view(points, WORLD, K0), second, np.argsort(order)


def test_every_point_seen_twice_is_found():
    first, second, partner = pair()
    found = reprojection_matches(first, second, ReprojectionOptions(inlier_px=0.2))
    assert np.array_equal(found.inliers[:, 0], np.arange(60))
    assert np.array_equal(found.inliers[:, 1], partner)
    assert not len(found.outliers)


def test_without_depth_a_keypoint_is_neither_match_nor_outlier():
    first, second, partner = pair()
    depth = first.depth.copy()
    depth[:4] = [0, -1, np.nan, np.inf]
    found = reprojection_matches(replace(first, depth=depth), second)
    assert not set(found.inliers[:, 0]) & set(range(4))
    assert not set(found.outliers[:, 0]) & set(range(4))
    depth = second.depth.copy()
    depth[partner[7]] = 0
    found = reprojection_matches(first, replace(second, depth=depth))
    assert 7 not in found.inliers[:, 0] and 7 not in found.outliers[:, 0]


def test_an_occluded_point_fails_the_way_back():
    first, second, partner = pair()
    depth = second.depth.copy()
    depth[partner[5]] *= 0.5  # the second image shows something nearer there
    found = reprojection_matches(first, replace(second, depth=depth))
    assert 5 not in found.inliers[:, 0]
    assert len(found.inliers) >= 55


def test_keypoints_that_only_one_image_has_are_certain():
    first, second, partner = pair(30)
    far = replace(second, keypoints=second.keypoints.copy())
    far.keypoints[partner[3]] = [-900.0, 900.0]
    alone0, alone1 = certainly_unmatched(first, far)
    assert alone0[3] and alone1[partner[3]]
    assert alone0.sum() < 15 and alone1.sum() < 15


def test_points_behind_the_other_camera_are_certain():
    first, second, _ = pair()
    turned = Rigid.from_rotation_vector([0, np.pi, 0], [0, 0, 0]) @ second.camera_from_world
    found = reprojection_matches(first, replace(second, camera_from_world=turned))
    assert not len(found.inliers) and len(found.outliers) == 60


def test_of_two_claims_the_nearer_wins_and_by_compat_the_first():
    first, second, _ = pair(10)
    twin = first.keypoints.copy()
    twin[0] = twin[1] + [1.5, 0]  # the same point, less exactly, but first in the list
    depth = first.depth.copy()
    depth[0] = depth[1]
    doubled = replace(first, keypoints=twin, depth=depth)
    ours = reprojection_matches(doubled, second).inliers[:, 0]
    published = reprojection_matches(doubled, second, ReprojectionOptions(compat=True)).inliers[:, 0]
    assert 1 in ours and 0 not in ours
    assert 0 in published and 1 not in published


def test_nothing_from_nothing():
    first, second, _ = pair()
    none = replace(second, keypoints=np.zeros((0, 2)), depth=np.zeros(0))
    for a, b in ((first, none), (none, second)):
        found = reprojection_matches(a, b)
        assert found.inliers.shape == (0, 2) and found.outliers.shape == (0, 2)


@pytest.mark.parametrize(("compat", "expected"), [(False, [6.0, 0.0, 0.0]), (True, [1.0, 0.0, 1.0])])
def test_depth_at_the_nearest_pixel(compat, expected):
    depth = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
    keypoints = np.array([[0.9, 0.9], [9.0, 1.0], [-0.6, 0.2]])
    assert depth_at(depth, keypoints, compat).tolist() == expected
