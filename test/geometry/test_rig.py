"""Several cameras on one base: one pose over all of them, with the covariance of the base."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from relpose_ros.geometry.covariance import (
    lever_adjoint,
    nees,
    normal_matrix,
    residual_covariance,
    safe_inverse,
    transform_pose_covariance,
)
from relpose_ros.geometry.refinement import Correspondences, linearize, refine_pose
from relpose_ros.geometry.rig import (
    Mounts,
    RigConsensus,
    RigView,
    linearize_rig,
    mount_covariance,
    mount_gains,
    refine_rig_pose,
    rig_consensus,
)
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions, generalized_pose

Array = NDArray[np.float64]
FOCALS = (500.0, 350.0, 700.0)
CHI2_6_95 = 12.592


class Scene:
    """Three cameras that look to all sides from a base; pixels with noise of `noise_px`, some wrong."""

    mounts = Rigid.stack(
        [
            Rigid.from_rotation_vector([0.1, 0, 0], [0.3, 0.0, 0.2]),
            Rigid.from_rotation_vector([0, 1.6, 0.2], [0.0, 0.4, -0.1]),
            Rigid.from_rotation_vector([0, -2.4, 0], [-0.5, 0.1, 0.0]),
        ]
    )

    def __init__(
        self,
        counts: tuple[int, ...] = (80, 80, 80),
        seed: int = 0,
        noise_px: float = 0.7,
        outliers: tuple[float, ...] = (0.0, 0.0, 0.0),
        mounts: Rigid | None = None,
    ) -> None:
        self.mounts = self.mounts if mounts is None else mounts
        generator = np.random.default_rng(seed)
        self.map_from_base = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
        self.wrong, cameras = [], []
        for c, (count, share, focal) in enumerate(zip(counts, outliers, FOCALS, strict=True)):
            rays = generator.uniform([-0.6, -0.45], [0.6, 0.45], (count, 2))
            depth = generator.uniform(2, 9, (count, 1))
            local = np.concatenate([rays, np.ones((count, 1))], axis=1) * depth
            points = (self.map_from_base @ self.mounts[c]).apply(local)
            wrong = generator.random(count) < share
            points[wrong] = generator.uniform(-9, 9, (wrong.sum(), 3))
            rays = rays + generator.normal(0, noise_px / focal, rays.shape)
            cameras.append(Correspondences(rays, points, np.zeros((count, 3, 3)), focal))
            self.wrong.append(wrong)
        self.seen = RigView(tuple(cameras), self.mounts)

    def error(self, found: Rigid) -> tuple[float, float]:
        metres, radians = found.distance_to(self.map_from_base)
        return float(metres), float(radians)


def found(consensus: RigConsensus | None) -> RigConsensus:
    assert consensus is not None
    return consensus


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("outliers", [(0.0, 0.0, 0.0), (0.5, 0.3, 0.6), (0.4, 1.0, 1.0)])
def test_consensus_with_outliers(outliers: tuple[float, ...], seed: int) -> None:
    """Also where all that two of three cameras say is wrong."""
    scene = Scene(seed=seed, outliers=outliers)
    result = found(rig_consensus(scene.seen, RansacOptions()))
    metres, radians = scene.error(result.map_from_base)
    assert metres < 0.03 and radians < 0.005
    right = np.concatenate([i[~w] for i, w in zip(result.inliers, scene.wrong, strict=True)])
    wrong = np.concatenate([i[w] for i, w in zip(result.inliers, scene.wrong, strict=True)])
    assert right.mean() > 0.97 and wrong.sum() <= 0.05 * len(wrong) + 1
    assert result.support == right.sum() + wrong.sum()


@pytest.mark.parametrize("counts", [(2, 2, 2), (3, 1, 2), (5, 0, 3)])
def test_cameras_that_see_too_little_alone_suffice_together(counts: tuple[int, ...]) -> None:
    scene = Scene(counts, seed=4, noise_px=0.1)
    result = found(rig_consensus(scene.seen, RansacOptions()))
    metres, radians = scene.error(result.map_from_base)
    assert metres < 0.02 and radians < 0.005 and result.support == sum(counts)


@pytest.mark.parametrize("counts", [(0, 0, 0), (1, 1, 1), (3, 0, 0)])
def test_too_little_of_all_is_no_pose(counts: tuple[int, ...]) -> None:
    assert rig_consensus(Scene(counts).seen, RansacOptions()) is None


def test_one_camera_of_three_that_sees_something() -> None:
    scene = Scene((0, 60, 0), seed=5)
    result = found(rig_consensus(scene.seen, RansacOptions()))
    assert scene.error(result.map_from_base)[0] < 0.03
    assert result.alone[0] is None and result.alone[1] is not None
    assert [len(i) for i in result.inliers] == [0, 60, 0]


def test_the_same_seed_gives_the_same_answer_and_inputs_stay_as_they_were() -> None:
    scene, untouched = (Scene(seed=6, outliers=(0.6, 0.6, 0.6)) for _ in range(2))
    first, *others = (found(rig_consensus(scene.seen, RansacOptions(seed=3))) for _ in range(10))
    for again in others:
        np.testing.assert_array_equal(first.map_from_base.matrix, again.map_from_base.matrix)
    for one, other in zip(scene.seen.cameras, untouched.seen.cameras, strict=True):
        np.testing.assert_array_equal(one.rays, other.rays)
        np.testing.assert_array_equal(one.points, other.points)


def test_the_origin_of_the_map_does_not_matter() -> None:
    scene, far = Scene(seed=7, outliers=(0.3, 0.3, 0.3)), np.array([4.5e5, 5.1e6, 300.0])
    moved = tuple(replace(one, points=one.points + far) for one in scene.seen.cameras)
    near_result = found(rig_consensus(scene.seen, RansacOptions()))
    far_result = found(rig_consensus(replace(scene.seen, cameras=moved), RansacOptions()))
    translation = far_result.map_from_base.translation - far
    np.testing.assert_allclose(translation, near_result.map_from_base.translation, atol=1e-4)


def test_generalized_pose_leaves_out_what_is_not_finite() -> None:
    scene = Scene(seed=8)
    rays = [one.rays.copy() for one in scene.seen.cameras]
    points = [one.points.copy() for one in scene.seen.cameras]
    rays[0][::3], points[1][::4], rays[2][:] = np.nan, np.inf, np.nan
    pose = generalized_pose(rays, points, FOCALS, scene.mounts)
    assert pose is not None and scene.error(pose)[0] < 0.03
    nothing = [np.full_like(r, np.nan) for r in rays]
    assert generalized_pose(nothing, points, FOCALS, scene.mounts) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_jacobian_agrees_with_finite_differences(seed: int) -> None:
    scene = Scene((9, 0, 7), seed, noise_px=2.0)
    line, step = linearize_rig(scene.map_from_base, scene.seen), 1e-6
    for i, move in enumerate(step * np.eye(6)):
        there, back = (
            linearize_rig(scene.map_from_base.perturbed(s * move), scene.seen).residual for s in (1, -1)
        )
        by_twist = (there - back) / (2 * step)
        np.testing.assert_allclose(line.jacobian[:, :, i], by_twist, atol=1e-4 * np.abs(by_twist).max())


def test_a_rig_of_one_is_a_camera_moved_to_the_base() -> None:
    scene = Scene((60, 0, 0), seed=9)
    start = scene.map_from_base.perturbed([0.02, -0.01, 0.02, 0.004, 0.002, -0.003])
    pose, line, weight = refine_rig_pose(start, scene.seen)
    camera, one, camera_weight = refine_pose(start @ scene.mounts[0], scene.seen.cameras[0])
    np.testing.assert_allclose(pose.matrix, (camera @ scene.mounts[0].inverse()).matrix, atol=1e-7)
    np.testing.assert_allclose(weight, camera_weight, atol=1e-5)
    moved = transform_pose_covariance(residual_covariance(one), camera, scene.mounts[0].inverse())
    np.testing.assert_allclose(residual_covariance(line), moved, rtol=1e-3, atol=1e-12)
    level = replace(scene.seen, base_from_camera=Rigid.stack([Rigid.identity()] * 3))
    np.testing.assert_array_equal(
        linearize_rig(camera, level).jacobian, linearize(camera, scene.seen.cameras[0]).jacobian
    )


def test_covariance_of_the_base_is_honest() -> None:
    """Monte Carlo: what the base is off by, under pixel noise, against what its covariance promises."""
    values, far = [], []
    base_from_far = Rigid.from_rotation_vector([0.3, -0.2, 0.5], [1.5, -0.7, 0.4])
    for trial in range(250):
        scene = Scene((30, 25, 20), trial, noise_px=1.2)
        start = scene.map_from_base.perturbed(np.full(6, 0.005))
        pose, line, _ = refine_rig_pose(start, scene.seen)
        covariance = residual_covariance(line)
        values.append(nees(pose.error_to(scene.map_from_base), covariance))
        moved = transform_pose_covariance(covariance, pose, base_from_far)
        there = (pose @ base_from_far).error_to(scene.map_from_base @ base_from_far)
        far.append(nees(there, moved))
    for tried in (values, far):
        assert 5.2 < np.mean(tried) < 7.2
        assert 0.91 < np.mean(np.array(tried) < CHI2_6_95) < 0.985


def test_no_block_of_the_covariance_reaches_over_two_images() -> None:
    scene = Scene((50, 0, 40))
    blocks = scene.seen.blocks
    assert len(blocks) == 90 and blocks[:50].max() < blocks[50:].min()


def test_rows_are_told_camera_by_camera() -> None:
    scene = Scene((5, 0, 3))
    rows = np.arange(8) % 2 == 0
    first, nothing, last = scene.seen.split(rows)
    assert (len(first), len(nothing), len(last)) == (5, 0, 3) and len(scene.seen) == 8
    assert [len(one) for one in scene.seen[(first, nothing, last)].cameras] == [3, 0, 1]


# Mounts that are off.

SIGMA = np.array([[0.0, 0.0], [0.005, 0.004], [0.008, 0.003]])


def shaken(mounts: Rigid, sigma: Array, seed: int) -> Rigid:
    """Mounts as they are, where they are known to `sigma`."""
    noise = np.random.default_rng(seed).normal(size=(len(mounts), 6)) * np.repeat(sigma, 3, axis=1)
    return Rigid.stack([mounts[c].perturbed(noise[c]) for c in range(len(mounts))])


@pytest.mark.parametrize("camera", range(3))
def test_a_refined_pose_moves_with_a_mount_as_the_gains_say(camera: int) -> None:
    scene = Scene((40, 30, 50), seed=11, noise_px=0.3)
    pose, line, weight = refine_rig_pose(scene.map_from_base, scene.seen)
    gain, step = mount_gains(line, scene.seen, weight, pose)[camera], 1e-4
    for i, twist in enumerate(step * np.eye(6)):
        mounts = [scene.mounts[c] for c in range(3)]
        # The twist of a gain is in map axes.
        mounts[camera] = pose.inverse() @ (pose @ mounts[camera]).perturbed(twist)
        again, _, _ = refine_rig_pose(pose, replace(scene.seen, base_from_camera=Rigid.stack(mounts)))
        np.testing.assert_allclose(pose.error_to(again), -gain[:, i] * step, atol=0.05 * step)


def test_gains_of_cameras_that_move_together_are_a_move_of_the_base() -> None:
    scene = Scene((40, 0, 50), seed=12)
    line, weight = linearize_rig(scene.map_from_base, scene.seen), np.ones(90)
    gains = mount_gains(line, scene.seen, weight, scene.map_from_base)
    levers = [scene.map_from_base.rotation @ lever for lever in scene.mounts.translation]
    together = sum(gain @ lever_adjoint(lever) for gain, lever in zip(gains, levers, strict=True))
    np.testing.assert_allclose(together, np.eye(6), atol=1e-9)
    np.testing.assert_array_equal(gains[1], 0)


def test_of_one_camera_the_mount_is_moved_to_the_base_and_an_exact_one_adds_nothing() -> None:
    scene = Scene((60, 0, 0), seed=13)
    line, weight = linearize_rig(scene.map_from_base, scene.seen), np.ones(60)
    rest = line, scene.seen, weight, scene.map_from_base
    mounts = Mounts(scene.mounts, SIGMA[::-1])
    base_from_camera = scene.mounts[0].inverse()
    there = scene.map_from_base @ scene.mounts[0]
    expected = transform_pose_covariance(mounts.covariance(0), there, base_from_camera)
    np.testing.assert_allclose(mount_covariance(*rest, mounts), expected, atol=1e-12)
    np.testing.assert_array_equal(mount_covariance(*rest, Mounts(scene.mounts, 0 * SIGMA)), np.zeros((6, 6)))


@pytest.mark.parametrize("reference_knows", [True, False])
def test_with_mounts_that_are_off_the_covariance_of_the_base_is_honest(reference_knows: bool) -> None:
    """Monte Carlo: without their part nearly every pose is outside; with it 95 % are inside."""
    sigma = SIGMA if reference_knows else SIGMA[[1, 2, 1]]
    inside, before = [], []
    for trial in range(300):
        scene = Scene((60, 50, 40), trial, noise_px=0.7, mounts=shaken(Scene.mounts, sigma, trial))
        seen = replace(scene.seen, base_from_camera=Scene.mounts)
        pose, line, weight = refine_rig_pose(scene.map_from_base, seen)
        error, fit = pose.error_to(scene.map_from_base), (line, seen, weight)
        covariance = 0.7**2 * safe_inverse(normal_matrix(line, weight))
        before.append(nees(error, covariance) < CHI2_6_95)
        covariance = covariance + mount_covariance(*fit, pose, Mounts(Scene.mounts, sigma))
        inside.append(nees(error, covariance) < CHI2_6_95)
    assert np.mean(before) < 0.1
    assert binomtest(sum(inside), len(inside), 0.95).pvalue > 0.01
