"""Overlap and geometric distance of views."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.view_similarity import (
    DistanceWeights,
    frustum_overlap,
    geometric_distance,
    overlap_table,
    rotation_angles,
)

CAMERA = Camera("pinhole", 100.0, 100.0, 79.5, 59.5, 160, 120)


def wall_views():
    """Views of a wall 4 m ahead, moved sideways by 0, half an image, and out of sight; one turned away."""
    width = 160 * 4 / 100
    poses = [Rigid.from_rotation_vector([0, 0, 0], [x, 0, 0]) for x in (0, width / 2, 2 * width)]
    poses.append(Rigid.from_rotation_vector([0, np.pi, 0], [0, 0, 0]))
    y, x = np.mgrid[2:120:8, 2:160:8]
    rays = CAMERA.rays(np.stack([x.ravel(), y.ravel()], axis=1))
    local = 4 * np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    return np.stack([p.apply(local) for p in poses]), Rigid.stack(poses)


def test_overlap_is_the_share_that_the_other_sees() -> None:
    points, poses = wall_views()
    known = np.ones(points.shape[:2], bool)
    table = overlap_table(points, known, poses, CAMERA)
    np.testing.assert_allclose(np.diag(table), 1)
    assert table[0, 1] == pytest.approx(0.5) and table[1, 0] == pytest.approx(0.5)
    assert table[0, 2] == 0 and table[0, 3] == 0
    known[0, ::2] = False
    assert overlap_table(points, known, poses, CAMERA)[0, 0] == pytest.approx(0.5)


def test_distance_grows_with_what_is_not_shared_and_with_the_turn() -> None:
    points, poses = wall_views()
    table = overlap_table(points, np.ones(points.shape[:2], bool), poses, CAMERA)
    distance = geometric_distance(table, poses)
    np.testing.assert_allclose(distance, distance.T)
    np.testing.assert_allclose(np.diag(distance), 0, atol=1e-9)
    assert 0 < distance[0, 1] < distance[0, 2] < distance[0, 3]
    assert distance[0, 3] == pytest.approx(100)
    assert np.diag(geometric_distance(table, poses, compat=True)).min() > 0.01
    apart = geometric_distance(table, poses, DistanceWeights(0, 0, 1))
    assert apart[0, 2] == pytest.approx(100) and apart[0, 1] == pytest.approx(25)


def test_frustum_overlap_there_and_back() -> None:
    depth = np.full((120, 160), 4.0)
    half = Rigid(np.eye(3), np.array([-3.2, 0, 0]))
    assert frustum_overlap(depth, CAMERA, CAMERA, Rigid.identity()) == 1
    assert frustum_overlap(depth, CAMERA, CAMERA, half) == pytest.approx(0.5, abs=0.07)
    assert np.isnan(frustum_overlap(np.zeros((120, 160)), CAMERA, CAMERA, half))


def test_what_is_behind_is_not_seen() -> None:
    about = Rigid.from_rotation_vector([0, np.pi, 0], [0, 0, 0])
    depth = np.full((120, 160), 4.0)
    assert frustum_overlap(depth, CAMERA, CAMERA, about) == 0
    assert frustum_overlap(depth, CAMERA, CAMERA, about, cheirality=False) > 0.8


def test_angles_are_exact_near_zero_and_pi() -> None:
    angles = np.array([0, 1e-7, 1.0, np.pi])
    rotations = Rigid.from_rotation_vector(angles[:, None] * [[0, 1, 0]], np.zeros((4, 3))).rotation
    np.testing.assert_allclose(rotation_angles(rotations)[0], angles, rtol=1e-6, atol=1e-12)


def test_weights_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="positive"):
        DistanceWeights(0, 0, 0)
