"""The expected pose loss: its derivative is that of its value, and what the published one does instead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_hypotheses import Hypotheses, draw_hypotheses
from relpose_ros.geometry.scene_hypotheses_published import draw_published_rgb
from relpose_ros.geometry.scene_targets import PointTargets, cell_targets
from relpose_training.losses.expected_pose_error import ExpectedPoseOptions, expected_pose_error
from relpose_training.losses.expected_pose_loss import expected_pose_loss
from relpose_training.losses.pose_error import PoseErrorWeights, pose_error

CAMERA = Camera("pinhole", 105.0, 105.0, 63.5, 47.5, 128, 96)
RGB = ExpectedPoseOptions(SceneRansacOptions(hypotheses=16), limit=1e9)
RGBD = ExpectedPoseOptions(SceneRansacOptions(0.1, 1.0, hypotheses=16), limit=1e9)


def image(seed: int, noise: float = 0.02, outliers: float = 0.2):
    """Scene coordinates (192, 3), rays, measured points and the true pose of one small image."""
    generator = np.random.default_rng(seed)
    rays, _ = cell_targets(CAMERA, 12, 16)
    local = np.concatenate([rays.rays, np.ones((192, 1))], axis=1) * generator.uniform(2, 6, (192, 1))
    truth = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
    points = truth.apply(local) + noise * generator.normal(size=local.shape)
    wrong = generator.random(192) < outliers
    points[wrong] += generator.normal(size=(wrong.sum(), 3))
    return points, rays, PointTargets(local), truth


def value_of_moved(points, targets, truth, options, drawn):
    """The loss when the hypotheses move with the coordinates of their minimal sets."""
    poses, which = targets.minimal_poses(points, drawn.sets)
    nearest = [
        np.flatnonzero(which == h)[
            np.argmin(
                np.abs(drawn.map_from_camera[h].error_to(poses[np.flatnonzero(which == h)])).sum(axis=1)
            )
        ]
        for h in range(len(drawn))
    ]
    moved = Hypotheses(poses[np.array(nearest)], drawn.sets, drawn.draws)
    return expected_pose_error(points, targets, truth, options, moved).value


@pytest.mark.parametrize("sharpness", [1.0, 100.0])
@pytest.mark.parametrize("depth", [False, True])
def test_gradient_is_the_derivative_of_the_loss(depth, sharpness) -> None:
    points, rays, measured, truth = image(3)
    targets, options = (measured, RGBD) if depth else (rays, RGB)
    options = replace(options, ransac=replace(options.ransac, sharpness=sharpness))
    drawn = draw_hypotheses(points, targets, options.ransac)
    found = expected_pose_error(points, targets, truth, options, drawn)
    generator = np.random.default_rng(0)
    for _ in range(3):
        step = 1e-6 * generator.normal(size=points.shape)
        ahead, back = (value_of_moved(points + s * step, targets, truth, options, drawn) for s in (1, -1))
        assert (found.gradient * step).sum() == pytest.approx((ahead - back) / 2, rel=1e-4, abs=1e-10)


def test_descent_finds_a_map_with_a_smaller_error() -> None:
    points, rays, _, truth = image(4, noise=0.05)
    coordinates = torch.tensor(points.T.reshape(1, 3, 12, 16), requires_grad=True)
    optimiser = torch.optim.Adam([coordinates], lr=2e-3)
    poses = Rigid(truth.rotation[None], truth.translation[None])
    losses = []
    for step in range(15):
        optimiser.zero_grad()
        options = replace(RGB, limit=10.0, ransac=replace(RGB.ransac, seed=step))
        loss = expected_pose_loss(coordinates, [rays], poses, options).sum()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_each_image_of_a_batch_is_its_own() -> None:
    first, second = image(5), image(6)
    stack = np.stack([i[0].T.reshape(3, 12, 16) for i in (first, second)])
    coordinates = torch.tensor(stack, dtype=torch.float32, requires_grad=True)
    loss = expected_pose_loss(coordinates, [first[1], second[2]], Rigid.stack([first[3], second[3]]), RGB)
    assert loss.shape == (2,) and loss.dtype == torch.float32
    (loss * torch.tensor([1.0, 0.0])).sum().backward()
    assert coordinates.grad is not None
    assert coordinates.grad[0].abs().max() > 0 and coordinates.grad[1].abs().max() == 0


@pytest.mark.parametrize("compat", [False, True])
def test_bfloat16_coordinates_and_cells_without_depth(compat) -> None:
    points, _, measured, truth = image(7)
    measured.points[:30] = np.nan
    coordinates = torch.tensor(points.T.reshape(1, 3, 12, 16)).to(torch.bfloat16).requires_grad_()
    options = replace(RGBD, compat=compat)
    expected_pose_loss(coordinates, [measured], Rigid.stack([truth]), options).sum().backward()
    gradient = coordinates.grad.reshape(3, -1)
    assert torch.isfinite(gradient).all()
    assert gradient[:, :30].abs().max() == 0 and gradient.abs().max() > 0


def test_published_gradient_is_not_the_derivative_and_says_nothing_below_its_pruning() -> None:
    points, rays, _, truth = image(3)
    drawn = draw_published_rgb(points, rays, (12, 16), RGB.ransac)
    ours, published = (
        expected_pose_error(points, rays, truth, replace(RGB, compat=c), drawn).gradient
        for c in (False, True)
    )
    assert np.linalg.norm(published - ours) > 0.05 * np.linalg.norm(ours)
    pruned = replace(RGB, prune=0.99)
    kept = expected_pose_error(points, rays, truth, replace(pruned, compat=True), drawn)
    assert not kept.gradient.any() and kept.value > 0
    three = replace(drawn, sets=drawn.sets[:, :3])
    with pytest.raises(ConfigurationError, match="four cells"):
        expected_pose_error(points, rays, truth, replace(RGB, compat=True), three)


def test_pruned_hypotheses_take_no_part_and_the_others_share_all() -> None:
    points, rays, _, truth = image(8)
    found = expected_pose_error(points, rays, truth, replace(RGB, prune=0.05))
    assert found.probabilities.sum() == pytest.approx(1)
    assert (found.probabilities[found.probabilities > 0] >= 0.05).all()


def test_sensitivities_are_scaled_down_to_the_limit() -> None:
    points, rays, _, truth = image(9)
    drawn = draw_hypotheses(points, rays, RGB.ransac)
    sizes = [
        np.abs(expected_pose_error(points, rays, truth, replace(RGB, limit=limit), drawn).gradient).max()
        for limit in (1e9, 10.0, 1e-3)
    ]
    assert sizes[0] >= sizes[1] > 10 * sizes[2] > 0


def test_coordinates_without_any_pose_have_no_gradient() -> None:
    _, rays, _, truth = image(10)
    coordinates = torch.ones(1, 3, 12, 16, requires_grad=True)
    loss = expected_pose_loss(coordinates, [rays], Rigid.stack([truth]))
    loss.sum().backward()
    assert loss.item() == 0 and not coordinates.grad.any()


@pytest.mark.parametrize("left", [0, 3])
def test_an_image_of_which_nothing_was_measured_costs_nothing(left) -> None:
    points, _, measured, truth = image(12)
    measured.points[left:] = np.nan
    coordinates = torch.tensor(points.T.reshape(1, 3, 12, 16)).requires_grad_()
    loss = expected_pose_loss(coordinates, [measured], Rigid.stack([truth]), RGBD)
    loss.sum().backward()
    assert loss.item() == 0 and not coordinates.grad.any()


def test_wrong_input_is_refused() -> None:
    points, rays, _, truth = image(11)
    coordinates = torch.tensor(points.T.reshape(1, 3, 12, 16))
    poses = Rigid.stack([truth])
    with pytest.raises(ConfigurationError, match="B targets"):
        expected_pose_loss(coordinates, [rays, rays], poses)
    with pytest.raises(ConfigurationError, match="cells in each"):
        expected_pose_loss(coordinates, [rays[:50]], poses)
    with pytest.raises(ConfigurationError, match="finite"):
        expected_pose_loss(coordinates * torch.nan, [rays], poses)


@pytest.mark.parametrize("offset", [[0.1, 0.2, -0.1, 0.02, 0.01, -0.03], [2.0, 1.0, 0.5, 0.4, 0.3, -0.2]])
def test_pose_error_derivative_below_and_above_the_clamp(offset) -> None:
    truth = Rigid.from_rotation_vector([1.0, 0.5, -0.3], [3.0, 2, 1])
    pose, step = truth.perturbed(offset), 1e-6 * np.random.default_rng(0).normal(size=6)
    weights = PoseErrorWeights()
    _, gradient = pose_error(pose, truth, weights)
    ahead, back = (pose_error(pose.perturbed(s * step), truth, weights)[0] for s in (1, -1))
    assert gradient @ step == pytest.approx((ahead - back) / 2, rel=1e-5)


def test_published_clamp_is_a_tenth_of_the_derivative() -> None:
    truth = Rigid.identity()
    far = truth.perturbed([2.0, 1, 0.5, 0.4, 0.3, -0.2])
    _, right = pose_error(far, truth, PoseErrorWeights())
    _, published = pose_error(far, truth, PoseErrorWeights(), compat=True)
    np.testing.assert_allclose(right, 10 * published)


def test_pose_error_at_the_truth_is_zero_with_no_direction() -> None:
    truth = Rigid.from_rotation_vector([1.0, 0.5, -0.3], [3.0, 2, 1])
    loss, gradient = pose_error(truth, truth, PoseErrorWeights())
    assert loss == pytest.approx(0, abs=1e-6) and np.isfinite(gradient).all()
