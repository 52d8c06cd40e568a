"""The robust estimator on dense scene coordinates: it finds the pose, or says that it did not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.pose_sensitivity import pose_sensitivity
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions, cell_errors, softmax
from relpose_ros.geometry.scene_coordinate_ransac import estimate_scene_pose
from relpose_ros.geometry.scene_hypotheses import draw_hypotheses
from relpose_ros.geometry.scene_targets import PointTargets, RayTargets, cell_targets

DEPTH_OPTIONS = SceneRansacOptions(threshold=0.1, max_error=1.0)
LENSES = {
    "pinhole": Camera("pinhole", 500.0, 520.0, 300.0, 250.0, 640, 480),
    "distorted": Camera("plumb_bob", 500.0, 490.0, 321.0, 238.0, 640, 480, (-0.2, 0.05, 1e-3, -1e-3)),
    "fisheye": Camera("equidistant", 300.0, 300.0, 320.0, 240.0, 640, 480, (0.01, 0.0, 0.0, 0.0)),
    "portrait": Camera("pinhole", 500.0, 500.0, 240.0, 320.0, 480, 640),
}


def predicted(camera: Camera, seed: int, noise: float = 0.02, outliers: float = 0.5):
    """Scene coordinates of one image: (points, ray targets, depth targets, true pose, which are outliers)."""
    generator = np.random.default_rng(seed)
    targets, exist = cell_targets(camera, camera.height // 8, camera.width // 8)
    targets = targets[exist]
    truth = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(0, 5, 3))
    ahead = np.concatenate([targets.rays, np.ones((len(targets), 1))], axis=1)
    local = ahead * generator.uniform(2, 6, (len(targets), 1))
    points = truth.apply(local) + noise * generator.normal(size=local.shape)
    wrong = generator.random(len(points)) < outliers
    points[wrong] = truth.translation + generator.uniform(-6, 6, (wrong.sum(), 3))
    return points, targets, PointTargets(local), truth, wrong


@pytest.mark.parametrize("lens", LENSES)
def test_the_pose_is_found_through_any_lens(lens) -> None:
    points, rays, _, truth, wrong = predicted(LENSES[lens], seed=1)
    found = estimate_scene_pose(points, rays)
    distance, angle = found.map_from_camera.distance_to(truth)
    assert distance < 0.01 and np.degrees(angle) < 0.2
    assert (found.inliers & ~wrong).sum() > 0.95 * (~wrong).sum()


@pytest.mark.parametrize("outliers", [0.0, 0.6, 0.8, 0.9])
def test_bounded_draws_are_enough(outliers) -> None:
    for seed in range(5):
        points, rays, _, truth, _ = predicted(LENSES["pinhole"], seed, outliers=outliers)
        found = estimate_scene_pose(points, rays, SceneRansacOptions(seed=seed))
        assert found.map_from_camera.distance_to(truth)[0] < 0.03
        assert found.hypotheses.draws <= SceneRansacOptions().max_draws


def test_depth_gives_the_pose_without_a_camera_model() -> None:
    points, _, depth, truth, _ = predicted(LENSES["pinhole"], seed=2, outliers=0.7)
    found = estimate_scene_pose(points, depth, DEPTH_OPTIONS)
    assert found.map_from_camera.distance_to(truth)[0] < 0.005


@pytest.mark.parametrize("seed", range(4))
def test_coordinates_of_nowhere_are_a_failure(seed) -> None:
    points, rays, depth, _, _ = predicted(LENSES["pinhole"], seed, outliers=1.0)
    for targets, options in ((rays, SceneRansacOptions()), (depth, DEPTH_OPTIONS)):
        found = estimate_scene_pose(points, targets, options)
        assert found.map_from_camera is None
        assert "are needed" in found.reason


def test_one_point_for_all_cells_is_a_failure() -> None:
    _, rays, _, _, _ = predicted(LENSES["pinhole"], 0)
    found = estimate_scene_pose(np.ones((len(rays), 3)), rays)
    assert found.map_from_camera is None and "no minimal set" in found.reason


def test_a_seed_gives_the_same_answer_and_another_a_similar_one() -> None:
    points, rays, _, _, _ = predicted(LENSES["pinhole"], 3)
    one, two, other = (estimate_scene_pose(points, rays, SceneRansacOptions(seed=s)) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.map_from_camera.matrix, two.map_from_camera.matrix)
    assert not np.array_equal(one.hypotheses.sets, other.hypotheses.sets)
    assert one.map_from_camera.distance_to(other.map_from_camera)[0] < 0.01


def test_a_point_behind_the_camera_agrees_with_nothing() -> None:
    points, rays, _, truth, _ = predicted(LENSES["pinhole"], 4, noise=0, outliers=0)
    mirrored = 2 * truth.translation - points  # projects to the same pixels from behind
    options = SceneRansacOptions()
    assert (cell_errors(truth[None], mirrored, rays, options) == options.max_error).all()
    published = replace(options, cheirality=False)
    np.testing.assert_allclose(cell_errors(truth[None], mirrored, rays, published), 0, atol=1e-9)


def test_the_pose_follows_the_map_frame() -> None:
    points, rays, _, _, _ = predicted(LENSES["pinhole"], 5)
    move = Rigid.from_rotation_vector([0.3, -1, 2], [40, -7, 3])
    here, there = (estimate_scene_pose(p, rays).map_from_camera for p in (points, move.apply(points)))
    assert here is not None
    np.testing.assert_allclose((move @ here).error_to(there), 0, atol=1e-6)


@pytest.mark.parametrize("depth", [False, True])
def test_sensitivity_is_the_derivative_of_the_fit(depth) -> None:
    points, rays, measured, truth, _ = predicted(LENSES["pinhole"], 6, noise=0.1, outliers=0)
    some = np.random.default_rng(0).choice(len(points), 12, replace=False)
    points, targets = points[some], (measured if depth else rays)[some]
    pose = targets.fit(points, truth, 1e-13)
    analytic = pose_sensitivity(pose, points, targets)
    step = 1e-5 * np.random.default_rng(1).normal(size=points.shape)
    ahead, back = (targets.fit(points + sign * step, pose, 1e-13) for sign in (1, -1))
    np.testing.assert_allclose(
        back.error_to(ahead) / 2, np.einsum("nki,ni->k", analytic, step), rtol=1e-4, atol=1e-11
    )


def test_sensitivity_of_p3p_by_finite_differences() -> None:
    points, rays, _, truth, _ = predicted(LENSES["pinhole"], 7, noise=0, outliers=0)
    cells = np.array([[100, 2000, 4000]])
    analytic = pose_sensitivity(truth, points[cells[0]], rays[cells[0]])

    def solved(moved):
        poses, _ = rays.minimal_poses(moved, cells)
        return poses[int(np.argmin(np.abs(truth.error_to(poses)).sum(axis=1)))]

    for axis in range(3):
        step = np.zeros_like(points)
        step[2000, axis] = 1e-6
        numeric = solved(points - step).error_to(solved(points + step)) / 2e-6
        np.testing.assert_allclose(analytic[1][:, axis], numeric, rtol=1e-5, atol=1e-6)


def test_covariance_from_sensitivity_by_monte_carlo() -> None:
    """Isotropic noise of the coordinates propagated through the fit, against the spread of 300 fits."""
    points, rays, _, truth, _ = predicted(LENSES["pinhole"], 8, noise=0, outliers=0)
    some = np.random.default_rng(0).choice(len(points), 60, replace=False)
    points, targets = points[some], rays[some]
    sigma, generator = 0.005, np.random.default_rng(9)
    moves = pose_sensitivity(truth, points, targets)
    expected = sigma**2 * np.einsum("nik,njk->ij", moves, moves)
    fits = [
        targets.fit(points + sigma * generator.normal(size=points.shape), truth, 1e-9) for _ in range(300)
    ]
    spread = np.array([truth.error_to(f) for f in fits])
    np.testing.assert_allclose(
        np.sqrt(np.diag(spread.T @ spread / 300)), np.sqrt(np.diag(expected)), rtol=0.15
    )


def test_hypotheses_come_from_their_sets() -> None:
    points, rays, _, _, _ = predicted(LENSES["pinhole"], 10)
    drawn = draw_hypotheses(points, rays, SceneRansacOptions())
    assert len(drawn) == 64
    for h in (0, 63):
        errors = cell_errors(
            drawn.map_from_camera[h][None], points[drawn.sets[h]], rays[drawn.sets[h]], SceneRansacOptions()
        )
        np.testing.assert_allclose(errors, 0, atol=1e-6)


def test_softmax_of_huge_scores_is_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([1e4, 1e4, 0.0])), [0.5, 0.5, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_not_finite_are_refused(bad) -> None:
    points, rays, _, _, _ = predicted(LENSES["pinhole"], 0)
    points[7, 1] = bad
    with pytest.raises(ConfigurationError, match="finite points"):
        estimate_scene_pose(points, rays)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="one for each target"):
        estimate_scene_pose(np.zeros((4, 3)), RayTargets(np.zeros((5, 2)), 500.0))
    with pytest.raises(ConfigurationError, match="threshold"):
        SceneRansacOptions(threshold=200.0)
