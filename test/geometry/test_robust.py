"""PnP and the essential matrix: right with outliers, repeatable, and silent on what has no answer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions, RobustPose, absolute_pose, relative_pose, shared_focal

Array = NDArray[np.float64]
FOCAL = 500.0


class Scene:
    """Points in front of two cameras; rays with pixel noise, a share of them replaced at random."""

    def __init__(self, count: int, seed: int, outliers: float = 0.0, noise_px: float = 0.5) -> None:
        generator = np.random.default_rng(seed)
        self.map_from_first = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
        self.second_from_first = Rigid.from_rotation_vector([0.05, -0.1, 0.08], [0.8, -0.2, 0.1])
        rays = generator.uniform([-0.5, -0.4], [0.5, 0.4], (count, 2))
        local = np.concatenate([rays, np.ones((count, 1))], axis=1) * generator.uniform(2, 9, (count, 1))
        self.points = self.map_from_first.apply(local)
        moved = self.second_from_first.apply(local)
        noise = generator.normal(0, noise_px / FOCAL, (2, count, 2))
        self.first = rays + noise[0]
        self.second = moved[:, :2] / moved[:, 2:] + noise[1]
        self.wrong = generator.random(count) < outliers
        self.first[self.wrong] = generator.uniform(-0.5, 0.5, (self.wrong.sum(), 2))


def direction_error(found: Rigid, truth: Rigid) -> float:
    """Angle in radians between the translations."""
    cosine = found.translation @ truth.translation / np.linalg.norm(truth.translation)
    return float(np.arccos(np.clip(cosine / np.linalg.norm(found.translation), -1, 1)))


def found(result: RobustPose | None) -> RobustPose:
    assert result is not None
    return result


@pytest.mark.parametrize("outliers", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_absolute_pose_with_outliers(outliers: float, seed: int) -> None:
    scene = Scene(200, seed, outliers)
    result = found(absolute_pose(scene.first, scene.points, FOCAL))
    metres, radians = result.pose.distance_to(scene.map_from_first)
    assert metres < 0.02 and radians < 0.004
    assert result.inliers[~scene.wrong].mean() > 0.98
    assert result.inliers[scene.wrong].sum() <= 0.05 * scene.wrong.sum() + 1


@pytest.mark.parametrize("outliers", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_relative_pose_with_outliers(outliers: float, seed: int) -> None:
    scene = Scene(300, seed, outliers)
    result = found(relative_pose(scene.first, scene.second, FOCAL))
    assert result.pose.distance_to(scene.second_from_first)[1] < 0.01
    assert direction_error(result.pose, scene.second_from_first) < 0.05
    assert np.linalg.norm(result.pose.translation) == pytest.approx(1, abs=1e-6)
    assert result.inliers[~scene.wrong].mean() > 0.8


def test_the_same_seed_gives_the_same_answer() -> None:
    scene = Scene(150, 7, 0.6)
    options = RansacOptions(seed=3)
    first, again = (found(absolute_pose(scene.first, scene.points, FOCAL, options)) for _ in range(2))
    np.testing.assert_array_equal(first.pose.matrix, again.pose.matrix)
    np.testing.assert_array_equal(first.inliers, again.inliers)
    pair, pair_again = (found(relative_pose(scene.first, scene.second, FOCAL, options)) for _ in range(2))
    np.testing.assert_array_equal(pair.pose.matrix, pair_again.pose.matrix)
    np.testing.assert_array_equal(pair.inliers, pair_again.inliers)


def test_the_seed_is_used() -> None:
    """Stopped after three samples, on data that is mostly wrong, the answer depends on the draw."""
    scene = Scene(60, 7, 0.8)
    counts = set()
    for seed in range(8):
        options = RansacOptions(min_iterations=3, max_iterations=3, seed=seed)
        result = absolute_pose(scene.first, scene.points, FOCAL, options)
        counts.add(0 if result is None else int(result.inliers.sum()))
    assert len(counts) > 1


def test_other_seeds_agree_on_the_pose() -> None:
    scene = Scene(150, 8, 0.6)
    poses = [
        found(absolute_pose(scene.first, scene.points, FOCAL, RansacOptions(seed=s))).pose for s in range(4)
    ]
    assert all(p.distance_to(poses[0])[0] < 0.01 for p in poses)


def test_the_origin_of_the_map_does_not_matter() -> None:
    """Projected coordinates: the same scene 5000 km from the origin."""
    scene = Scene(150, 9, 0.4)
    far = np.array([4.5e5, 5.1e6, 300.0])
    near_result = found(absolute_pose(scene.first, scene.points, FOCAL))
    far_result = found(absolute_pose(scene.first, scene.points + far, FOCAL))
    np.testing.assert_allclose(far_result.pose.translation - far, near_result.pose.translation, atol=1e-4)
    np.testing.assert_array_equal(far_result.inliers, near_result.inliers)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_points_for_a_pose(count: int) -> None:
    scene = Scene(10, 0)
    assert absolute_pose(scene.first[:count], scene.points[:count], FOCAL) is None


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_pairs_for_a_relative_pose(count: int) -> None:
    scene = Scene(10, 0)
    assert relative_pose(scene.first[:count], scene.second[:count], FOCAL) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_left_out(bad: float) -> None:
    scene = Scene(120, 1, 0.2)
    rays, points, second = scene.first.copy(), scene.points.copy(), scene.second.copy()
    rays[::10], points[5::10], second[3::10] = bad, bad, bad
    dropped = ~(np.isfinite(rays).all(axis=1) & np.isfinite(points).all(axis=1))
    result = found(absolute_pose(rays, points, FOCAL))
    assert result.pose.distance_to(scene.map_from_first)[0] < 0.03
    assert result.inliers.shape == (120,) and not result.inliers[dropped].any()
    pair = found(relative_pose(rays, second, FOCAL))
    assert not pair.inliers[~np.isfinite(second).all(axis=1)].any()


def test_only_values_that_are_not_finite() -> None:
    nothing = np.full((20, 2), np.nan)
    assert absolute_pose(nothing, np.zeros((20, 3)), FOCAL) is None
    assert relative_pose(nothing, nothing, FOCAL) is None


def test_inputs_are_left_as_they_were() -> None:
    scene = Scene(60, 2, 0.3)
    rays, points = scene.first.copy(), scene.points.copy()
    absolute_pose(rays, points, FOCAL)
    np.testing.assert_array_equal(rays, scene.first)
    np.testing.assert_array_equal(points, scene.points)


def test_points_on_a_plane_still_give_the_pose() -> None:
    generator = np.random.default_rng(3)
    truth = Rigid.from_rotation_vector([0.1, 2.0, -0.4], [1, 2, 3])
    rays = generator.uniform(-0.5, 0.5, (80, 2))
    depth = 4 / (1 + rays @ [0.3, -0.2])  # the plane z + 0.3 x - 0.2 y = 4
    points = truth.apply(np.concatenate([rays, np.ones((80, 1))], axis=1) * depth[:, None])
    result = found(absolute_pose(rays + generator.normal(0, 0.5 / FOCAL, rays.shape), points, FOCAL))
    metres, radians = result.pose.distance_to(truth)
    assert metres < 0.05 and radians < 0.01


DEGENERATE = {
    "on a line": np.linspace([-0.3, 0.1, 3.0], [0.4, -0.2, 5.0], 40),
    "all the same": np.tile([0.1, 0.2, 4.0], (40, 1)),
    "two places": np.repeat([[0.1, 0.2, 4.0], [-0.3, 0.1, 5.0]], 20, axis=0),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_points_do_no_harm(name: str) -> None:
    """There is no single answer: either none comes, or one that is finite and a rotation."""
    points = DEGENERATE[name]
    rays = points[:, :2] / points[:, 2:]
    for result in (absolute_pose(rays, points, FOCAL), relative_pose(rays, rays + 0.01, FOCAL)):
        if result is not None:
            assert np.isfinite(result.pose.matrix).all()
            np.testing.assert_allclose(result.pose.rotation @ result.pose.rotation.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_but_outliers_has_hardly_any_support(seed: int) -> None:
    """The arbiter decides by inliers: chance must not look like evidence."""
    generator = np.random.default_rng(seed)
    rays, points = generator.uniform(-0.5, 0.5, (200, 2)), generator.uniform(-5, 5, (200, 3))
    result = absolute_pose(rays, points, FOCAL)
    assert result is None or result.inliers.sum() <= 12


def test_a_threshold_in_pixels_follows_the_focal_length() -> None:
    """The same angle of error is inside 6 px at a short focal length and outside at a long one."""
    scene = Scene(100, 4, noise_px=0.0)
    off = scene.first + [0.01, 0.0] * (np.arange(100) % 3 == 0)[:, None]
    short = found(absolute_pose(off, scene.points, 300.0))  # 3 px
    long = found(absolute_pose(off, scene.points, 3000.0))  # 30 px
    assert short.inliers.all()
    np.testing.assert_array_equal(long.inliers, np.arange(100) % 3 != 0)


def test_shared_focal_is_between_the_two() -> None:
    first, second = (Camera("pinhole", f, f + 20, 320, 240, 640, 480) for f in (400.0, 600.0))
    assert shared_focal(first, second) == pytest.approx(510)
