"""Losses of correspondence classifiers: the values they must have, and gradients that point the right way."""

from __future__ import annotations

import math

import pytest
import torch

from relpose_ros.networks.one_to_one.synthetic import synthetic_correspondences
from relpose_training.losses.correspondence_classification import balanced_classification_loss
from relpose_training.losses.essential_matrix import essential_from_pose, essential_loss, geometric_loss
from relpose_training.losses.two_view import (
    StageLoss,
    TwoViewTruth,
    regression_starts,
    stage_loss,
    total_loss,
)

RIGHT, WRONG = 1e-5, 1.0


def pose(batch=2):
    generator = torch.Generator().manual_seed(8)
    spin = 0.2 * torch.randn(batch, 3, 3, generator=generator).double()
    return torch.linalg.matrix_exp(spin - spin.mT), torch.randn(batch, 3, generator=generator).double()


def exact_points(rotation, translation, count=50):
    generator = torch.Generator().manual_seed(9)
    points = torch.rand(len(rotation), count, 3, generator=generator).double() + torch.tensor([-0.5, -0.5, 3])
    moved = points @ rotation.mT + translation[:, None]
    return torch.cat([points[..., :2] / points[..., 2:], moved[..., :2] / moved[..., 2:]], dim=-1)


class TestClassification:
    def test_zero_logits_cost_log_two(self):
        distances = torch.tensor([[RIGHT, WRONG, WRONG, WRONG]])
        assert balanced_classification_loss(torch.zeros(1, 4), distances).item() == pytest.approx(math.log(2))

    def test_both_classes_weigh_the_same(self):
        few, many = torch.tensor([[RIGHT, WRONG, WRONG]]), torch.tensor([[RIGHT] * 2 + [WRONG] * 7])
        loss = balanced_classification_loss
        assert loss(torch.where(few < 1e-4, 2.0, -1.0), few).item() == pytest.approx(
            loss(torch.where(many < 1e-4, 2.0, -1.0), many).item()
        )

    def test_an_absent_class_adds_nothing(self):
        loss = balanced_classification_loss(torch.zeros(1, 3), torch.full((1, 3), WRONG))
        assert loss.item() == pytest.approx(math.log(2) / 2)

    def test_the_threshold_is_strict(self):
        at = torch.tensor([[1e-4]])
        assert balanced_classification_loss(torch.tensor([[9.0]]), at, threshold=1e-4) > 4
        assert balanced_classification_loss(torch.tensor([[9.0]]), at, threshold=2e-4) < 1e-3

    @pytest.mark.parametrize(("compat", "learns"), [(False, True), (True, False)])
    def test_a_logit_that_is_very_wrong_still_learns_by_default(self, compat, learns):
        logits = torch.tensor([[-60.0]], requires_grad=True)
        balanced_classification_loss(logits, torch.tensor([[RIGHT]]), compat=compat).backward()
        assert (logits.grad.abs() > 0.4).item() is learns

    def test_it_is_finite_in_half_precision(self):
        logits = torch.tensor([[-200.0, 200.0]], dtype=torch.bfloat16)
        loss = balanced_classification_loss(logits, torch.tensor([[RIGHT, WRONG]]))
        assert loss.dtype == torch.float32 and torch.isfinite(loss)


class TestEssentialMatrix:
    def test_the_essential_of_a_pose_fulfils_its_constraint(self):
        rotation, translation = pose()
        essential = essential_from_pose(rotation, translation)
        assert torch.allclose(torch.linalg.matrix_norm(essential), torch.ones(2).double())
        assert geometric_loss(essential, exact_points(rotation, translation)) < 1e-20

    def test_no_translation_has_no_essential(self):
        assert not essential_from_pose(torch.eye(3)[None], torch.zeros(1, 3)).any()

    def test_distances_are_cut_at_the_margin(self):
        rotation, translation = pose()
        far = exact_points(rotation, translation) + torch.tensor([0, 0, 9.0, -7.0])
        loss = geometric_loss(essential_from_pose(rotation, translation), far, margin=0.1)
        assert 0.09 < loss.item() <= 0.1

    def test_sign_does_not_matter(self):
        rotation, translation = pose()
        essential, points = essential_from_pose(rotation, translation), exact_points(rotation, translation)
        other = essential_from_pose(rotation, translation.flip(1))
        assert essential_loss(-essential, essential) == 0
        assert essential_loss(other, essential) == essential_loss(-other, essential) > 0
        assert geometric_loss(other, points) == geometric_loss(-other, points) > 0


def synthetic_truth():
    rotation, translation = pose()
    points = exact_points(rotation, translation, 80)
    spoiled = points.clone()
    noise = synthetic_correspondences(2, 40, torch.Generator().manual_seed(1), 1.0)[..., 2:4].double()
    spoiled[:, 40:, 2:] = noise
    distances = torch.full((2, 80), RIGHT).double()
    distances[:, 40:] = WRONG
    return spoiled, TwoViewTruth(distances, rotation, translation, points)


class TestStage:
    def test_the_right_logits_cost_nothing(self):
        pairs, truth = synthetic_truth()
        logits = torch.where(truth.distances < 1e-4, 40.0, -40.0).double()
        loss = stage_loss(logits, pairs, truth)
        assert max(loss.classification, loss.geometric, loss.essential) < 1e-9

    def test_the_geometric_loss_teaches_to_distrust_outliers(self):
        pairs, truth = synthetic_truth()
        logits = torch.full((2, 80), 0.5).double()
        logits[:, 40:] = 0.01
        logits.requires_grad_()
        stage_loss(logits, pairs, truth).geometric.backward()
        assert logits.grad[:, 40:].sum() > 0

    @pytest.mark.parametrize(("regression", "total"), [("geometric", 13), ("essential", 8), (None, 3)])
    def test_the_total_sums_over_stages(self, regression, total):
        one, two, none = torch.tensor(1.0), torch.tensor(2.0), torch.zeros(3, 3)
        stages = [StageLoss(one, 4 * one, 10 * one, none), StageLoss(two, 8 * two, 20 * two, none)]
        assert total_loss(stages, regression).item() == pytest.approx(total)

    def test_the_pose_counts_from_the_second_chunk_on(self):
        assert [regression_starts(e, c) for e, c in ((0, 0), (0, 1), (1, 0))] == [False, True, True]
        assert not regression_starts(9, 3, start=(10, 0))
