"""Triangulation: exact without noise, honest about its noise, and deaf to what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.triangulation import Observations, point_covariances, reprojection, triangulate

Array = NDArray[np.float64]
FOCAL = 400.0


class Scene:
    """Points 3 to 8 m ahead of cameras that stand side by side and are turned a little."""

    def __init__(self, points: int, cameras: int = 6, spacing: float = 0.4, seed: int = 0) -> None:
        self.generator = np.random.default_rng(seed)
        self.points = self.generator.uniform([-2, -1.5, 3], [2, 1.5, 8], (points, 3))
        centres = np.zeros((cameras, 3))
        centres[:, 0] = spacing * (np.arange(cameras) - (cameras - 1) / 2)
        centres[:, 1:] = self.generator.normal(0, 0.05 * spacing, (cameras, 2))
        self.poses = Rigid.from_rotation_vector(self.generator.normal(0, 0.05, (cameras, 3)), centres)

    def seen(self, noise_px: float = 0.0) -> Observations:
        """Every point from every camera, in shuffled order."""
        cameras, points = len(self.poses), len(self.points)
        camera, track = (a.ravel() for a in np.indices((cameras, points)))
        order = self.generator.permutation(len(track))
        camera, track = camera[order], track[order]
        poses = self.poses[camera]
        local = np.einsum("kij,ki->kj", poses.rotation, self.points[track] - poses.translation)
        rays = local[:, :2] / local[:, 2:] + self.generator.normal(0, noise_px / FOCAL, (len(track), 2))
        return Observations(track, rays, poses, np.full(len(track), FOCAL))


def nees(error: Array, covariance: Array) -> Array:
    return np.asarray(np.einsum("ti,tij,tj->t", error, np.linalg.inv(covariance), error))


def test_exact_without_noise() -> None:
    scene = Scene(200)
    points, covariances, used = triangulate(scene.seen(), 200)
    np.testing.assert_allclose(points, scene.points, atol=1e-6)
    assert used.all() and np.isfinite(covariances).all()


def test_far_from_the_origin_as_well() -> None:
    scene, offset = Scene(50), np.array([450_000.0, 5_100_000.0, 300.0])
    seen = scene.seen()
    moved = Rigid(seen.map_from_camera.rotation, seen.map_from_camera.translation + offset)
    points, _, _ = triangulate(Observations(seen.track, seen.rays, moved, seen.focal), 50)
    np.testing.assert_allclose(points - offset, scene.points, atol=1e-4)


@pytest.mark.parametrize("noise_px", [0.3, 1.0])
def test_covariance_by_monte_carlo(noise_px: float) -> None:
    """Three degrees of freedom: the NEES of pixel noise scaled to 1 px is 3 in the mean."""
    values = []
    for seed in range(8):
        scene = Scene(150, seed=seed)
        points, covariances, used = triangulate(scene.seen(noise_px), 150, max_error_px=8.0)
        assert used.mean() > 0.999
        values.append(nees(points - scene.points, noise_px**2 * covariances))
    drawn = np.concatenate(values)
    assert 2.7 < drawn.mean() < 3.4
    assert 0.92 < (drawn < 7.815).mean() < 0.97


def test_a_wrong_observation_is_left_out_and_does_no_harm() -> None:
    scene = Scene(60, cameras=7)
    seen = scene.seen(0.2)
    wrong = np.array([np.flatnonzero(seen.track == t)[0] for t in range(60)])
    rays = seen.rays.copy()
    rays[wrong] += 25 / FOCAL
    points, _, used = triangulate(Observations(seen.track, rays, seen.map_from_camera, seen.focal), 60)
    good = np.ones(len(seen), np.bool_)
    good[wrong] = False
    assert not used[wrong].any() and used[good].mean() > 0.98
    assert np.median(np.linalg.norm(points - scene.points, axis=1)) < 0.02


def test_low_parallax_keeps_the_point_with_a_long_covariance() -> None:
    """Cameras 1 cm apart, points at 3 to 8 m: the depth is hardly known, and the covariance says so."""
    scene = Scene(100, cameras=4, spacing=0.01)
    points, covariances, _ = triangulate(scene.seen(0.1), 100)
    kept = np.isfinite(points).all(axis=1)
    assert kept.mean() > 0.95
    values, vectors = np.linalg.eigh(covariances[kept])
    assert np.median(np.sqrt(values[:, 2] / values[:, 1])) > 100
    sight = points[kept] / np.linalg.norm(points[kept], axis=1, keepdims=True)
    assert np.median(np.abs((vectors[:, :, 2] * sight).sum(axis=1))) > 0.99


def test_parallel_rays_give_a_finite_far_point_or_none() -> None:
    poses = Rigid(np.tile(np.eye(3), (2, 1, 1)), np.array([[0.0, 0, 0], [0.5, 0, 0]]))
    seen = Observations(np.zeros(2, int), np.zeros((2, 2)), poses, np.full(2, FOCAL))
    points, covariances, used = triangulate(seen, 1)
    if used.any():
        assert points[0, 2] > 50 and np.isfinite(covariances).all()
    else:
        assert np.isnan(points).all()


def test_never_behind_a_camera() -> None:
    """Rays that meet behind the cameras, and tracks of random rays, give no point behind anyone."""
    generator = np.random.default_rng(5)
    poses = Rigid(np.tile(np.eye(3), (2, 1, 1)), np.array([[-0.5, 0, 0], [0.5, 0, 0]]))
    apart = Observations(np.zeros(2, int), np.array([[-0.2, 0], [0.2, 0.0]]), poses, np.full(2, FOCAL))
    points, _, used = triangulate(apart, 1)
    assert np.isnan(points).all() and not used.any()
    seen = Scene(300).seen()
    rays = generator.uniform(-0.6, 0.6, seen.rays.shape)
    random = Observations(seen.track, rays, seen.map_from_camera, seen.focal)
    points, _, used = triangulate(random, 300)
    error, depth = reprojection(points, random)
    assert (depth[used] > 0).all() and (np.linalg.norm(error[used], axis=1) < 3.0).all()


def test_tracks_seen_once_or_never_stay_nan() -> None:
    scene = Scene(3, cameras=2)
    seen = scene.seen()
    once = seen[(seen.track != 1) | (np.arange(len(seen)) == np.flatnonzero(seen.track == 1)[0])]
    points, covariances, used = triangulate(once, 5)
    assert np.isfinite(points[[0, 2]]).all() and np.isnan(points[[1, 3, 4]]).all()
    assert np.isnan(covariances[[1, 3, 4]]).all() and not used[once.track == 1].any()


def test_nothing_to_triangulate() -> None:
    none = Observations(
        np.zeros(0, int), np.zeros((0, 2)), Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3))), np.zeros(0)
    )
    points, covariances, used = triangulate(none, 4)
    assert points.shape == (4, 3) and np.isnan(points).all() and covariances.shape == (4, 3, 3)
    assert not len(used)


def test_rays_that_are_not_finite_are_not_used() -> None:
    scene = Scene(20)
    seen = scene.seen()
    rays = seen.rays.copy()
    rays[::7] = np.nan
    points, _, used = triangulate(Observations(seen.track, rays, seen.map_from_camera, seen.focal), 20)
    assert not used[::7].any()
    np.testing.assert_allclose(points, scene.points, atol=1e-6)


def test_order_of_observations_does_not_matter() -> None:
    scene = Scene(40)
    seen = scene.seen(0.5)
    order = np.random.default_rng(1).permutation(len(seen))
    points, covariances, used = triangulate(seen, 40)
    again, covariances_again, used_again = triangulate(seen[order], 40)
    np.testing.assert_allclose(points, again, atol=1e-9)
    np.testing.assert_allclose(covariances, covariances_again, rtol=1e-6)
    np.testing.assert_array_equal(used[order], used_again)


def test_covariance_is_the_inverse_normal_matrix_by_finite_differences() -> None:
    scene = Scene(5)
    seen = scene.seen()
    columns = []
    for move in 1e-6 * np.eye(3):
        there, back = (reprojection(scene.points + s * move, seen)[0] for s in (1, -1))
        columns.append((there - back) / 2e-6)
    jacobian = np.stack(columns, axis=2)
    expected = []
    for track in range(5):
        rows = jacobian[seen.track == track].reshape(-1, 3)
        expected.append(np.linalg.inv(rows.T @ rows))
    np.testing.assert_allclose(point_covariances(scene.points, seen, 5), expected, rtol=1e-5)
