"""Loss of relative poses: rotations as rotations, learned weights, dropped edges, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.geometry.rigid import Rigid
from relpose_training.losses.relative_pose_l1 import LearnedWeights, edge_targets, relative_pose_l1

ZERO = torch.zeros(1)


def some(shape=(2, 5, 6), seed=0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss(predicted, target, **options):
    return relative_pose_l1(predicted, target, ZERO, ZERO, **options)


def test_the_right_answer_costs_nothing():
    found = loss(some(), some())
    assert found.translation == 0
    assert found.rotation == pytest.approx(0, abs=1e-7)


def test_the_rotation_term_is_the_rotation_between_them():
    predicted, target = some(seed=1), some(seed=2)
    ours, theirs = (
        Rigid.from_rotation_vector(v[..., 3:].numpy(), v[..., :3].numpy()) for v in (predicted, target)
    )
    expected = np.abs((ours.inverse() @ theirs).rotation_vector).mean()
    assert float(loss(predicted, target).rotation) == pytest.approx(expected, abs=1e-9)


def test_a_full_turn_costs_nothing_and_compat_thinks_it_does():
    turn = torch.zeros(1, 6, dtype=torch.float64)
    turn[0, 5] = 2 * torch.pi
    assert float(loss(turn, torch.zeros_like(turn)).rotation) == pytest.approx(0, abs=1e-7)
    assert float(loss(turn, torch.zeros_like(turn), compat=True).rotation) == pytest.approx(2 * np.pi / 3)


def test_compat_is_the_difference_of_the_numbers():
    predicted, target = some(seed=1), some(seed=2)
    difference = (predicted - target).abs()
    found = loss(predicted, target, compat=True)
    torch.testing.assert_close(found.rotation, difference[..., 3:].mean())
    torch.testing.assert_close(found.translation, difference[..., :3].mean())


def test_the_best_weight_is_the_log_of_its_part():
    """d/ds (exp(-s) a + s) = 0 at s = log a."""
    predicted, target = some(seed=1), some(seed=2)
    parts = loss(predicted, target)
    weights = LearnedWeights(float(parts.translation.log()), float(parts.rotation.log()))
    relative_pose_l1(predicted, target, weights.sax, weights.saq).total.backward()
    assert float(weights.sax.grad) == pytest.approx(0, abs=1e-6)
    assert float(weights.saq.grad) == pytest.approx(0, abs=1e-6)


def test_learned_weights_have_the_published_names():
    state = LearnedWeights().state_dict()
    assert {k: v.tolist() for k, v in state.items()} == {"sax": [0.0], "saq": [-3.0]}


@pytest.mark.parametrize("compat", [False, True])
def test_dropped_edges_do_not_count(compat):
    predicted, target = some(seed=1), some(seed=2)
    keep = torch.tensor([[True, False, True, True, False]] * 2)
    kept = loss(predicted, target, keep=keep, compat=compat)
    alone = loss(predicted[:, keep[0]], target[:, keep[0]], compat=compat)
    torch.testing.assert_close(kept.total, alone.total)
    assert float(loss(predicted, target, keep=torch.zeros_like(keep), compat=compat).translation) == 0


@pytest.mark.parametrize("compat", [False, True])
def test_gradients_agree_with_differences(compat):
    target = some((3, 6), seed=2)
    weights = [torch.tensor([w], dtype=torch.float64, requires_grad=True) for w in (0.3, -1.0)]
    predicted = some((3, 6), seed=1).requires_grad_()

    def total(p, sx, sq):
        return relative_pose_l1(p, target, sx, sq, compat=compat).total

    assert torch.autograd.gradcheck(total, (predicted, *weights))


def test_gradients_are_finite_at_zero_and_at_the_answer():
    for target in (torch.zeros(2, 6), some((2, 6)).float()):
        predicted = target.clone().requires_grad_()
        loss(predicted, target).total.backward()
        assert predicted.grad.isfinite().all()


def test_bfloat16_predictions_are_scored_in_float32():
    predicted, target = some(seed=1).bfloat16(), some(seed=2).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(predicted, target)
    assert found.total.dtype == torch.float32
    torch.testing.assert_close(found.total, loss(predicted.float(), target).total)


def test_targets_of_edges_are_picked_out_of_all_pairs():
    pairs = some((2, 4, 4, 6))
    edges = torch.tensor([[[0, 3], [1, 0]], [[2, 1], [2, 3]]])
    found = edge_targets(pairs, edges)
    assert torch.equal(found[0, 1], pairs[0, 3, 0])
    assert torch.equal(found[1, 0], pairs[1, 2, 2])
