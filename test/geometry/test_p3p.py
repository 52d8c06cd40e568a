"""P3P: it finds the pose, all of its answers are answers, and it knows a degenerate set."""

from __future__ import annotations

import cv2
import numpy as np

from relpose_ros.geometry.p3p import solve_p3p
from relpose_ros.geometry.rigid import Rigid


def minimal_sets(count: int, seed: int = 0, far: float = 0.0):
    generator = np.random.default_rng(seed)
    rays = generator.uniform(-0.8, 0.8, (count, 3, 2))
    local = np.concatenate([rays, np.ones((count, 3, 1))], axis=2) * generator.uniform(0.5, 20, (count, 3, 1))
    truth = Rigid.from_rotation_vector(
        generator.normal(size=(count, 3)), generator.normal(0, 3, (count, 3)) + far
    )
    inverse = truth.inverse()
    return rays, np.einsum("nij,nkj->nki", inverse.rotation, local) + inverse.translation[:, None], truth


def test_the_true_pose_is_among_the_solutions() -> None:
    rays, points, truth = minimal_sets(5000)
    poses, which = solve_p3p(rays, points)
    off = np.abs(poses.error_to(truth[which])).max(axis=1)
    best = np.full(len(rays), np.inf)
    np.minimum.at(best, which, off)
    assert np.median(best) < 1e-12
    assert np.mean(best < 1e-6) > 0.999


def test_every_solution_sees_the_points_and_has_them_in_front() -> None:
    rays, points, _ = minimal_sets(2000, seed=1)
    poses, which = solve_p3p(rays, points)
    local = np.einsum("nij,nkj->nki", poses.rotation, points[which]) + poses.translation[:, None]
    assert (local[..., 2] > 0).all()
    np.testing.assert_allclose(local[..., :2] / local[..., 2:], rays[which], atol=1e-8)
    np.testing.assert_allclose(
        poses.rotation @ np.swapaxes(poses.rotation, 1, 2),
        np.broadcast_to(np.eye(3), poses.rotation.shape),
        atol=1e-9,
    )
    assert np.bincount(which).max() <= 4 and (np.diff(which) >= 0).all()


def test_as_many_solutions_as_opencv() -> None:
    rays, points, _ = minimal_sets(200, seed=2)
    _, which = solve_p3p(rays, points)
    expected = [
        cv2.solveP3P(p, r, np.eye(3), None, flags=cv2.SOLVEPNP_P3P)[0]
        for p, r in zip(points, rays, strict=True)
    ]
    assert np.mean(np.bincount(which, minlength=200) == expected) > 0.98


def test_a_million_metres_from_the_origin() -> None:
    rays, points, _ = minimal_sets(500, seed=3)
    near, _ = solve_p3p(rays, points)
    far, _ = solve_p3p(rays, points + 1e6)
    back = Rigid(far.rotation, far.translation + far.rotation @ np.full(3, 1e6))
    assert np.median(np.abs(back.error_to(near)).max(axis=1)) < 1e-6


def test_repeated_and_collinear_points_have_no_solution() -> None:
    rays, points, _ = minimal_sets(3, seed=4)
    points[0, 1] = points[0, 0]
    rays[0, 1] = rays[0, 0]
    points[1, 2] = 0.5 * (points[1, 0] + points[1, 1])
    points[2] = points[2, :1]
    _, which = solve_p3p(rays, points)
    assert 0 not in which and 2 not in which


def test_no_sets_no_solutions() -> None:
    poses, which = solve_p3p(np.zeros((0, 3, 2)), np.zeros((0, 3, 3)))
    assert poses.rotation.shape == (0, 3, 3) and len(which) == 0
