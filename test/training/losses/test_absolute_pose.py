"""The L1 of pose vectors: formula, both hemispheres, gradients."""

from __future__ import annotations

import math

import numpy as np
import torch

from relpose_ros.geometry.pose_vectors import quaternion_exp, quaternion_log
from relpose_training.losses.absolute_pose import absolute_pose_l1, nearer_logarithm
from relpose_training.losses.relative_pose_l1 import LearnedWeights


def logs(seed, count=20):
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return torch.tensor(quaternion_log(quaternion_exp(vectors)))


def test_it_is_the_formula():
    predicted, target = (torch.randn(5, 6, dtype=torch.float64) * 0.3 for _ in range(2))
    weights = LearnedWeights(0.3, -1.0)
    found = absolute_pose_l1(predicted, target, weights)
    far, turned = (predicted - target)[:, :3].abs().mean(), (predicted - target)[:, 3:].abs().mean()
    expected = math.exp(-0.3) * far + 0.3 + math.exp(1.0) * turned - 1.0
    assert torch.allclose(found.total, expected.to(found.total.dtype), rtol=1e-6)


def test_the_other_logarithm_is_the_same_rotation():
    """exp of it is -q."""
    target = logs(1)
    far_away = target * 0 - 1e3 * target  # nearer to what points the other way
    other = nearer_logarithm(far_away, target)
    assert np.allclose(quaternion_exp(other.numpy()), -quaternion_exp(target.numpy()), atol=1e-9)


def test_a_prediction_beyond_half_a_turn_is_no_error():
    """A rotation by 170 degrees, said as one by -190."""
    axis = torch.tensor([[0.0, 0.6, 0.8]])
    half = math.radians(85)
    target = torch.cat([torch.zeros(1, 3), half * axis], dim=1)
    said = torch.cat([torch.zeros(1, 3), (half - math.pi) * axis], dim=1)
    assert absolute_pose_l1(said, target, LearnedWeights()).rotation < 1e-6
    assert absolute_pose_l1(-said, target, LearnedWeights()).rotation > 0.05


def test_the_nearer_one_is_chosen_for_each():
    target = logs(2)
    assert torch.equal(nearer_logarithm(target + 0.01, target), target)


def test_no_rotation_has_a_finite_gradient():
    predicted = torch.zeros(2, 6, requires_grad=True)
    weights = LearnedWeights()
    absolute_pose_l1(predicted, torch.zeros(2, 6), weights).total.backward()
    assert predicted.grad.isfinite().all()
    assert weights.sax.grad is not None and weights.saq.grad is not None
