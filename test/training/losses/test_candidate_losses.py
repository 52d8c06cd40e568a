"""CLNet's loss, and the loss of a pair in batches of candidates."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.one_to_one.eight_point import inlier_weights, weighted_eight_point
from relpose_training.losses.candidate_feedback import candidate_batch_loss, feedback_loss, pose_gradient
from relpose_training.losses.correspondence_classification import balanced_classification_loss
from relpose_training.losses.essential_matrix import geometric_loss
from relpose_training.losses.pruning import level_distances, level_loss, pruning_classification_loss


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels():
    """Distances (1, 24): a third are inliers."""
    return torch.where(torch.arange(24) % 3 == 0, 5e-5, 1e-2).double().unsqueeze(0)


@pytest.mark.parametrize("batch", [24, 8, 4])
def test_batches_sum_to_the_gradient_of_the_whole_pair(batch):
    points, virtual = drawn(1, 24, 4), drawn(1, 50, 4, seed=1)
    whole = drawn(1, 24, seed=2).requires_grad_()
    estimate = weighted_eight_point(points, inlier_weights(whole))
    loss = balanced_classification_loss(whole, labels()) + 0.5 * geometric_loss(estimate, virtual, margin=0.1)
    loss.backward()
    geometric, gradient = pose_gradient(whole, points, virtual)
    torch.testing.assert_close(geometric, geometric_loss(estimate, virtual).detach())
    parts = whole.detach().clone().requires_grad_()
    for part in range(0, 24, batch):
        cut = slice(part, part + batch)
        candidate_batch_loss(parts[0, cut], labels()[0, cut], gradient[0, cut], 8, 16).backward()
    torch.testing.assert_close(parts.grad, whole.grad)


def test_the_feedback_changes_the_loss_as_a_step_along_the_pose_gradient_does():
    logits, gradient = drawn(1, 24).requires_grad_(), drawn(1, 24, seed=1)
    still = balanced_classification_loss(logits, labels(), compat=True)
    torch.testing.assert_close(feedback_loss(logits, labels(), torch.zeros_like(gradient)), still)
    (slope,) = torch.autograd.grad(still, logits)
    moved = feedback_loss(logits, labels(), gradient, step=1e-6)
    torch.testing.assert_close(moved - still, -1e-6 * (slope * gradient).sum(), rtol=1e-3, atol=1e-15)


def test_a_level_weighs_inliers_by_how_many_there_are():
    logits = torch.zeros(1, 24, dtype=torch.float64, requires_grad=True)
    inliers = labels()[0] < 1e-4
    # Outliers / inliers = 2, and temperature exp(-0.5) half way to the threshold.
    (gradient,) = torch.autograd.grad(level_loss(logits, labels()), logits)
    gradient = gradient[0]
    ratio = gradient[inliers] / gradient[~inliers][:8]
    torch.testing.assert_close(ratio, torch.full((8,), -2 * 0.6065306597, dtype=torch.float64))


@pytest.mark.parametrize("distance", [1e-5, 1.0])
def test_a_level_of_one_class_alone_is_finite(distance):
    logits = drawn(2, 6).requires_grad_()
    loss = level_loss(logits, torch.full((2, 6), distance, dtype=torch.float64))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def test_levels_are_of_what_is_kept():
    distances = torch.arange(8.0).repeat(2, 1)
    kept = torch.tensor([[7, 1, 3, 5]] * 2), torch.tensor([[3, 7]] * 2)
    levels = level_distances(distances, *kept)
    assert [level[0].tolist() for level in levels[2:]] == [[7, 1, 3, 5], [7, 1, 3, 5], [3, 7]]
    logits = [torch.zeros_like(level) for level in levels]
    single = [level_loss(a, b) for a, b in zip(logits, levels, strict=True)]
    torch.testing.assert_close(pruning_classification_loss(logits, levels), torch.stack(single).sum())
