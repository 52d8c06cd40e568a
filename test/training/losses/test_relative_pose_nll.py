"""Likelihood of relative poses: the twist it is about, its best deviation, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import laplace, norm

from relpose_ros.geometry.rigid import Rigid
from relpose_training.losses.relative_pose_nll import pose_twist, relative_pose_nll


def some(shape=(4, 6), seed=0, scale=1.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rigid(vector: torch.Tensor) -> Rigid:
    return Rigid.from_rotation_vector(vector[..., 3:].numpy(), vector[..., :3].numpy())


def test_the_twist_is_that_of_our_covariances():
    predicted, target = some(seed=1), some(seed=2)
    expected = rigid(predicted).error_to(rigid(target))
    np.testing.assert_allclose(pose_twist(predicted, target).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("distribution", "density"),
    [("gaussian", norm.logpdf), ("laplace", lambda r, scale: laplace.logpdf(r, scale=scale / math.sqrt(2)))],
)
def test_it_is_the_density_but_for_a_constant(distribution, density):
    """Differences between two targets are those of scipy's log density of the twist."""
    predicted, log_variance = some(seed=1, scale=0.3), some(seed=3)
    scale = np.exp(log_variance.numpy() / 2)
    ours, theirs = [], []
    for seed in (2, 5):
        target = some(seed=seed, scale=0.3)
        ours.append(relative_pose_nll(predicted, log_variance, target, distribution).numpy())
        twist = rigid(predicted).error_to(rigid(target))
        theirs.append(-density(twist, scale=scale).sum(axis=-1))
    np.testing.assert_allclose(ours[0] - ours[1], theirs[0] - theirs[1], atol=1e-8)


@pytest.mark.parametrize("distribution", ["gaussian", "laplace"])
def test_the_best_variance_is_that_of_the_errors(distribution):
    """Where the mean of the loss over many draws has no slope, the variance is theirs."""
    rng = np.random.default_rng(0)
    draw = rng.normal if distribution == "gaussian" else rng.laplace
    sizes = np.array([0.3, 0.1, 0.2, 0.02, 0.05, 0.01])
    twists = sizes * draw(size=(20000, 6)) / (1 if distribution == "gaussian" else math.sqrt(2))
    log_variance = torch.from_numpy(np.log(sizes**2)).requires_grad_()
    target = torch.from_numpy(twists)
    loss = relative_pose_nll(torch.zeros_like(target), log_variance.expand(20000, 6), target, distribution)
    loss.mean().backward()
    assert log_variance.grad.abs().max() < 0.02  # the slope is 0.5 (1 - true / said)


@pytest.mark.parametrize("distribution", ["gaussian", "laplace"])
def test_gradients_agree_with_differences(distribution):
    target = some(seed=2)
    inputs = some(seed=1).requires_grad_(), some(seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, v: relative_pose_nll(p, v, target, distribution), inputs)


def test_beta_weighs_without_moving_the_best_answer():
    """With 0.5, Laplace pulls at each number of a translation alike, whatever its deviation."""
    predicted, target = some(seed=1), some(seed=2)
    predicted.requires_grad_()
    log_variance = some(seed=3).requires_grad_()
    relative_pose_nll(predicted, log_variance, target, beta=0.5).sum().backward()
    np.testing.assert_allclose(predicted.grad[:, :3].abs(), math.sqrt(2), rtol=1e-9)
    weighed = log_variance.grad.clone()
    log_variance.grad = None
    relative_pose_nll(predicted, log_variance, target).sum().backward()
    torch.testing.assert_close(weighed, log_variance.grad * torch.exp(log_variance.detach() / 2))


def test_gradients_are_finite_at_the_answer():
    predicted = some().float().requires_grad_()
    relative_pose_nll(predicted, torch.zeros(4, 6), predicted.detach().clone()).sum().backward()
    assert predicted.grad.isfinite().all()


def test_half_precision_is_widened():
    predicted = some(seed=1).bfloat16()
    found = relative_pose_nll(predicted, torch.zeros(4, 6), some(seed=2).float())
    assert found.dtype == torch.float32
