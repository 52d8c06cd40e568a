"""Refinement of a pose on uncertain points: its Jacobians, its optimum and its covariance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import nees, normal_matrix, safe_inverse
from relpose_ros.geometry.refinement import Correspondences, linearize, project, refine_pose
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
FOCAL = 400.0
CHI2_6_95 = 12.592


class Scene:
    """Points 2 to 9 m ahead with covariances as triangulation leaves them: long in depth."""

    def __init__(self, count: int, seed: int, sigma: float = 0.02) -> None:
        self.generator = np.random.default_rng(seed)
        self.truth = Rigid.from_rotation_vector(self.generator.normal(size=3), self.generator.normal(size=3))
        self.rays = self.generator.uniform([-0.7, -0.5], [0.7, 0.5], (count, 2))
        local = np.concatenate([self.rays, np.ones((count, 1))], axis=1)
        self.points = self.truth.apply(local * self.generator.uniform(2, 9, (count, 1)))
        shape = np.diag([0.2, 0.2, 1.0]) * sigma * self.generator.uniform(0.2, 2, (count, 1, 1))
        turn = Rigid.from_rotation_vector(self.generator.normal(0, 0.5, (count, 3)), np.zeros((count, 3)))
        roots = self.truth.rotation @ turn.rotation @ shape
        self.covariances = roots @ np.swapaxes(roots, 1, 2)
        self.roots = roots

    def seen(self, noise: float = 1.0) -> Correspondences:
        """What a camera at `truth` sees, and a map whose points are off as their covariances say."""
        count = len(self.points)
        moved = self.points + noise * np.einsum(
            "nij,nj->ni", self.roots, self.generator.normal(size=(count, 3))
        )
        rays = self.rays + noise * self.generator.normal(0, 1 / FOCAL, (count, 2))
        return Correspondences(rays, moved, self.covariances, FOCAL)

    def start(self) -> Rigid:
        return self.truth.perturbed(self.generator.normal(0, [0.05] * 3 + [0.02] * 3))


def test_whitened_jacobian_agrees_with_finite_differences() -> None:
    """Exact with equal covariances at the optimum: the whitening itself moves with the pose."""
    scene = Scene(30, 0, sigma=1e-9)
    seen = scene.seen()
    line = linearize(scene.truth, seen)
    for axis, move in enumerate(1e-6 * np.eye(6)):
        there, back = (linearize(scene.truth.perturbed(s * move), seen).residual for s in (1, -1))
        np.testing.assert_allclose((there - back) / 2e-6, line.jacobian[:, :, axis], rtol=1e-4, atol=1e-3)


def test_whitening_gives_unit_noise() -> None:
    squares = [linearize(s.truth, s.seen()).residual ** 2 for s in (Scene(100, i) for i in range(40))]
    np.testing.assert_allclose(np.mean(squares, axis=(0, 1)), 1.0, atol=0.06)


def test_whitening_is_a_square_root_of_the_inverse_noise_covariance() -> None:
    scene = Scene(10, 3)
    certain = Correspondences(scene.rays + 0.01, scene.points, np.zeros((10, 3, 3)), FOCAL)
    uncertain = Correspondences(scene.rays + 0.01, scene.points, scene.covariances, FOCAL)
    plain, white = (linearize(scene.truth, s) for s in (certain, uncertain))
    by_point = -plain.jacobian[:, :, :3]
    noise = np.eye(2) + by_point @ scene.covariances @ np.swapaxes(by_point, 1, 2)
    expected = np.einsum("ni,nij,nj->n", plain.residual, np.linalg.inv(noise), plain.residual)
    np.testing.assert_allclose(white.squared, expected, rtol=1e-9)


def test_exact_without_noise() -> None:
    scene = Scene(40, 1)
    pose, line, weight = refine_pose(scene.start(), scene.seen(0.0), iterations=10)
    assert np.abs(pose.error_to(scene.truth)).max() < 1e-8
    assert np.abs(line.residual).max() < 1e-5
    np.testing.assert_allclose(weight, 1.0)


@pytest.mark.parametrize("sigma", [0.003, 0.03, 0.1])
def test_covariance_by_monte_carlo(sigma: float) -> None:
    """With the right noise model the inverse normal matrix is the covariance: NEES 6, coverage 95 %."""
    values = []
    for seed in range(200):
        scene = Scene(80, seed, sigma)
        pose, line, _ = refine_pose(scene.start(), scene.seen(), robust=1e9, iterations=10)
        values.append(nees(pose.error_to(scene.truth), safe_inverse(normal_matrix(line))))
    assert 5.0 < np.mean(values) < 7.2
    assert 0.91 < np.mean(np.array(values) < CHI2_6_95) < 0.99


def test_weighing_points_by_their_uncertainty_pays() -> None:
    """Generalised least squares is better than pretending that all points are equally good."""
    ours, plain = [], []
    for seed in range(60):
        scene = Scene(60, seed, 0.1)
        seen = scene.seen()
        blind = Correspondences(seen.rays, seen.points, np.zeros_like(seen.covariances), FOCAL)
        for errors, given in ((ours, seen), (plain, blind)):
            pose, _, _ = refine_pose(scene.start(), given, robust=1e9, iterations=10)
            errors.append(pose.distance_to(scene.truth)[0])
    assert np.median(ours) < 0.9 * np.median(plain)


def test_a_tenth_of_wrong_points_hardly_moves_the_robust_optimum() -> None:
    scene = Scene(100, 4, 0.005)
    seen = scene.seen()
    rays = seen.rays.copy()
    rays[:10] += 30 / FOCAL
    wrong = Correspondences(rays, seen.points, seen.covariances, FOCAL)
    pose, _, weight = refine_pose(scene.truth, wrong, iterations=20)
    metres, radians = pose.distance_to(scene.truth)
    assert metres < 0.03 and radians < 0.006
    assert weight[:10].max() < 0.1 and np.median(weight[10:]) > 0.5


def test_points_behind_the_camera_do_not_make_it_fail() -> None:
    scene = Scene(40, 6)
    seen = scene.seen(0.1)
    points = seen.points.copy()
    points[:3] = scene.truth.apply(np.array([[0.1, 0.2, -2.0], [0, 0, -0.5], [1, 1, -9]]))
    pose, line, weight = refine_pose(scene.truth, Correspondences(seen.rays, points, seen.covariances, FOCAL))
    assert np.isfinite(pose.matrix).all() and np.isfinite(line.squared).all()
    assert weight[:3].max() < 1e-6
    assert pose.distance_to(scene.truth)[0] < 0.02


def test_a_degenerate_view_leaves_the_pose_alone() -> None:
    """One point seen forty times fixes nothing: the pose stays where it was, and finite."""
    scene = Scene(1, 2)
    seen = scene.seen()
    many = Correspondences(
        np.repeat(seen.rays, 40, 0), np.repeat(seen.points, 40, 0), np.repeat(seen.covariances, 40, 0), FOCAL
    )
    pose, _, _ = refine_pose(scene.truth, many)
    assert np.isfinite(pose.matrix).all()
    assert pose.distance_to(scene.truth)[1] < 0.5


def test_projection_of_points_behind_is_infinite() -> None:
    rays, depth = project(Rigid.identity(), np.array([[1.0, 2, 4], [1, 2, -4], [1, 2, 0]]))
    np.testing.assert_allclose(rays[0], [0.25, 0.5])
    assert np.isinf(rays[1:]).all()
    np.testing.assert_array_equal(depth, [4, -4, 0])


def test_subset_of_correspondences() -> None:
    seen = Scene(10, 0).seen()
    part = seen[np.array([1, 3])]
    assert len(part) == 2
    np.testing.assert_array_equal(part.points, seen.points[[1, 3]])
