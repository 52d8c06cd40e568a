"""Poses from scene coordinates: right, as sure as they say, and never an average of two places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from analytic_room import CAMERA, RoomPredictor, viewpoint  # type: ignore[import-not-found]

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.refinement import Correspondences, linearize, linearize_at_corrected, refine_pose
from relpose_ros.geometry.scene_cells import SceneCells, cells_per_error
from relpose_ros.geometry.scene_pose import ScenePoseOptions, estimate_scene_poses, same_place
from relpose_ros.geometry.scene_samples import SamplingOptions, is_split, sampled_poses, smooth_noise

CHI2_95 = 12.592
OPTIONS = ScenePoseOptions()


def cells_of(predictor: RoomPredictor) -> SceneCells:
    found = predictor.predict(None, CAMERA)
    return SceneCells.of_map(found.points, found.covariances, found.rays, found.focal, found.shape)[0]


def consistency(count: int, **noise) -> np.ndarray:
    """NEES of `count` poses."""
    out = []
    for seed in range(count):
        room = RoomPredictor(viewpoint(seed), seed=seed, **noise)
        estimates, reason = estimate_scene_poses(cells_of(room))
        assert estimates, reason
        out.append(nees(estimates[0].map_from_camera.error_to(room.pose), estimates[0].covariance))
    return np.array(out)


@pytest.mark.parametrize("admits", [0.02, 0.004, None], ids=["knows its noise", "too sure", "says nothing"])
@pytest.mark.parametrize(("correlation", "share"), [(0.0, 0.8), (2.0, 0.6)])
def test_the_covariance_is_honest(correlation, share, admits) -> None:
    """The textbook formula has 35 % and 0 % inside (specs/scene_coordinates.md, section 10).

    These maps of 30 x 40 cells have 28 independent errors where noise is smooth: calibration does the rest.
    """
    values = consistency(20, sigma=0.02, correlation=correlation, admits=admits)
    assert np.mean(values < CHI2_95) >= share and 3.5 < values.mean() < 12


def test_it_stays_honest_among_outliers_and_in_coarse_noise() -> None:
    values = consistency(20, sigma=0.05, correlation=1.0, admits=0.05, outliers=0.5)
    assert np.mean(values < CHI2_95) >= 0.7 and values.mean() < 10


def test_noise_in_the_points_does_not_bias_the_pose() -> None:
    """White noise of 5 cm: about noisy points the error is mostly bias, about corrected ones it is not."""
    plain, corrected = [], []
    for seed in range(12):
        room = RoomPredictor(viewpoint(seed), sigma=0.05, admits=0.05, seed=seed)
        cells = cells_of(room)
        seen = Correspondences(cells.rays, cells.points, cells.covariances, cells.focal)
        for errors, how in ((plain, linearize), (corrected, linearize_at_corrected)):
            pose, _, _ = refine_pose(room.pose, seen, robust=100.0, iterations=10, linearization=how)
            errors.append(pose.distance_to(room.pose)[0])
    assert np.median(corrected) < 0.8 * np.median(plain)


def test_what_the_network_is_surer_of_counts_more() -> None:
    errors = []
    for seed in range(10):
        room = RoomPredictor(viewpoint(seed), sigma=0.0, seed=seed)
        cells = cells_of(room)
        generator = np.random.default_rng(seed)
        sigma = np.where(generator.random(len(cells)) < 0.3, 0.005, 0.1)
        points = cells.points + sigma[:, None] * generator.normal(size=cells.points.shape)
        told = replace(cells, points=points, covariances=sigma[:, None, None] ** 2 * np.eye(3))
        found = [estimate_scene_poses(c)[0][0] for c in (told, replace(told, covariances=None))]
        errors.append([e.map_from_camera.distance_to(room.pose)[0] for e in found])
    weighted, plain = np.mean(errors, axis=0)
    assert weighted < 0.5 * plain


def test_far_from_the_origin_nothing_changes() -> None:
    cells = cells_of(RoomPredictor(viewpoint(4), seed=4))
    away = np.array([5e5, 4e6, 100.0])
    here = estimate_scene_poses(cells)[0][0]
    there = estimate_scene_poses(replace(cells, points=cells.points + away))[0][0]
    assert np.allclose(there.map_from_camera.translation - away, here.map_from_camera.translation, atol=1e-6)
    assert np.allclose(there.covariance, here.covariance, rtol=1e-3, atol=1e-12)


def test_the_same_cells_give_the_same_answer() -> None:
    cells = cells_of(RoomPredictor(viewpoint(5), seed=5, outliers=0.5))
    first, second = (estimate_scene_poses(cells)[0][0] for _ in range(2))
    assert (first.covariance == second.covariance).all() and (first.inliers == second.inliers).all()
    sampled = [sampled_poses(cells, first, OPTIONS, SamplingOptions(count=3, seed=s)) for s in (1, 1, 2)]
    positions = [[p.map_from_camera.translation.tolist() for p in poses] for poses in sampled]
    assert positions[0] == positions[1] != positions[2]


def test_a_map_of_two_places_has_a_rival() -> None:
    """A corridor of equal doors: the blocks of cells speak for one of two places a metre apart."""
    for seed in range(4):
        room = RoomPredictor(viewpoint(seed), seed=seed, shift=(1.0, 0.0, 0.0), shifted=0.5)
        first, second = estimate_scene_poses(cells_of(room))[0]
        assert first.rival > 0.5 * first.support and not (first.inliers & second.inliers).any()
        apart = first.map_from_camera.distance_to(second.map_from_camera)[0]
        assert apart == pytest.approx(1.0, abs=0.1)
        # Never in the middle.
        assert min(e.map_from_camera.distance_to(room.pose)[0] for e in (first, second)) < 0.1


def test_one_place_has_no_rival_whatever_the_outliers() -> None:
    for seed in range(4):
        room = RoomPredictor(viewpoint(seed), seed=seed, outliers=0.6)
        (only,), _ = estimate_scene_poses(cells_of(room))
        assert only.rival == 0 and only.support > 0.35 * 75


def test_samples_see_two_places_and_one() -> None:
    options = SamplingOptions(count=8)
    splits = []
    for shifted in (0.0, 0.5):
        for seed in range(5):
            room = RoomPredictor(viewpoint(seed), seed=seed, shift=(1.0, 0.0, 0.0), shifted=shifted)
            cells = cells_of(room)
            best = estimate_scene_poses(cells)[0][0]
            splits.append(is_split(best, sampled_poses(cells, best, OPTIONS, options), OPTIONS, options))
    assert not any(splits[:5]) and any(splits[5:])


def test_samples_spread_as_the_covariance_says() -> None:
    """Samples have the network's noise twice, once in the map and once drawn: about as far off as it is."""
    room = RoomPredictor(viewpoint(6), sigma=0.02, correlation=2.0, seed=6)
    cells = cells_of(room)
    best = estimate_scene_poses(cells)[0][0]
    poses = sampled_poses(cells, best, OPTIONS, SamplingOptions(count=20, cells=1200))
    assert len(poses) == 20 and all(same_place(best, p, OPTIONS) for p in poses)
    values = [nees(best.map_from_camera.error_to(p.map_from_camera), best.covariance) for p in poses]
    assert 2 < np.mean(values) < 18


@pytest.mark.parametrize("points", [0, 5])
def test_too_few_cells_are_a_reason(points) -> None:
    cells = cells_of(RoomPredictor(viewpoint(0)))[np.arange(points)]
    estimates, reason = estimate_scene_poses(cells)
    assert not estimates and f"only {points} cells" in reason


def test_coordinates_of_nowhere_are_a_reason() -> None:
    room = RoomPredictor(viewpoint(0), outliers=1.0)
    estimates, reason = estimate_scene_poses(cells_of(room))
    assert not estimates and "agree" in reason


def test_cells_without_a_value_are_left_out() -> None:
    found = RoomPredictor(viewpoint(0)).predict(None, CAMERA)
    points, rays = found.points.copy(), found.rays.copy()
    points[7], rays[9] = np.nan, np.nan
    cells, index = SceneCells.of_map(points, found.covariances, rays, found.focal, found.shape)
    assert len(cells) == len(points) - 2 and not {7, 9} & set(index.tolist())
    assert (cells.grid[:, 0] + cells.grid[:, 1] * found.shape[1] == index).all()


@pytest.mark.parametrize(("width", "low", "high"), [(0.0, 1.0, 1.2), (1.0, 8.0, 15.0), (2.0, 30.0, 55.0)])
def test_cells_that_err_together_are_counted(width, low, high) -> None:
    """White noise through a Gaussian filter of width w: 4 pi w^2 cells have one error."""
    grid = np.stack(np.meshgrid(np.arange(80), np.arange(60)), axis=-1).reshape(-1, 2)
    noise = smooth_noise(np.random.default_rng(0), grid, width)[:, :2]
    assert low <= cells_per_error(noise, grid) <= high
    some = np.random.default_rng(1).random(len(grid)) < 0.25
    assert cells_per_error(noise[some], grid[some]) < 0.45 * high + 1


def test_no_or_equal_residuals_are_no_trouble() -> None:
    assert cells_per_error(np.zeros((0, 2)), np.zeros((0, 2), int)) == 1
    assert cells_per_error(np.zeros((5, 2)), np.arange(10).reshape(5, 2)) == 1


@pytest.mark.parametrize("wrong", [{"count": -1}, {"correlation": -1.0}, {"cells": 3}, {"split": 0.0}])
def test_sampling_that_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(ConfigurationError):
        SamplingOptions(**wrong)
