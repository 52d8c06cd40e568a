"""The pose-consistency loss on an exact scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.geometry.epipolar import essential_matrix
from relpose_ros.geometry.rigid import Rigid
from relpose_training.losses.pose_consistency import match_weights, pose_consistency_loss

POINTS = 24


def scene() -> dict[str, torch.Tensor]:
    """Two views of 24 points; point i of image 0 is point 23 - i of image 1; float64."""
    rng = np.random.default_rng(4)
    second_from_first = Rigid.from_rotation_vector([0.05, -0.2, 0.1], [0.6, 0.1, -0.2])
    first = rng.uniform([-2, -2, 3], [2, 2, 7], (POINTS, 3))
    second = second_from_first.apply(first)[::-1].copy()
    mask = torch.zeros(1, POINTS + 1, POINTS + 1, dtype=torch.float64)
    mask[0, torch.arange(POINTS), torch.arange(POINTS - 1, -1, -1)] = 1
    return {
        "indices0": torch.arange(POINTS - 1, -1, -1)[None],
        "scores0": torch.full((1, POINTS), 0.8, dtype=torch.float64),
        "scores1": torch.full((1, POINTS), 0.8, dtype=torch.float64),
        "rays0": torch.from_numpy(first[:, :2] / first[:, 2:])[None],
        "rays1": torch.from_numpy(second[:, :2] / second[:, 2:])[None],
        "matching_mask": mask,
        "essential": torch.from_numpy(essential_matrix(second_from_first))[None],
    }


def with_outliers(count: int) -> dict[str, torch.Tensor]:
    """The first `count` points matched in a circle."""
    given = scene()
    given["indices0"][0, :count] = given["indices0"][0, :count].roll(1)
    return given


def test_true_matches_cost_nothing():
    loss = pose_consistency_loss(**scene())
    assert loss.pose < 1e-9 and loss.geometry < 1e-9 and loss.valid == 1


def test_wrong_matches_cost():
    few, many = (pose_consistency_loss(**with_outliers(n)) for n in (4, 12))
    assert 0 < few.pose < many.pose <= 2.5
    assert 0 < few.geometry < many.geometry <= 2.5


def test_the_scale_of_the_essential_matrix_does_not_matter():
    given = with_outliers(6)
    expected = pose_consistency_loss(**given)
    given["essential"] = -7 * given["essential"]
    torch.testing.assert_close(pose_consistency_loss(**given).geometry, expected.geometry)


def test_unmatched_points_take_no_part():
    given = with_outliers(6)
    given["indices0"][0, :6] = -1
    loss = pose_consistency_loss(**given)
    assert loss.pose < 1e-9 and loss.geometry < 1e-9


def downhill(term: str, outliers: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Minus the gradient (24,) of a term to the scores, the term, and the term a small step further."""
    given = with_outliers(outliers)
    given["scores0"].requires_grad_()
    before = getattr(pose_consistency_loss(**given), term)
    before.backward()
    assert given["scores0"].grad is not None
    step = -given["scores0"].grad
    given["scores0"] = given["scores0"].detach() + 1e-3 * step / step.norm()
    return step[0], before.detach(), getattr(pose_consistency_loss(**given), term)


@pytest.mark.parametrize("term", ["pose", "geometry"])
def test_the_gradient_is_one(term):
    step, before, after = downhill(term, 4)
    assert float(before - after) == pytest.approx(1e-3 * float(step.norm()), rel=0.05)


def test_matches_that_do_not_fit_lose_trust():
    step, _, _ = downhill("geometry", 4)
    assert step[:4].mean() < 0 < step[4:].mean()


def test_compat_geometry_has_no_gradient_and_does_not_weigh():
    given = with_outliers(4)
    given["scores0"].requires_grad_()
    loss = pose_consistency_loss(**given, compat=True)
    assert not loss.geometry.requires_grad and loss.pose.requires_grad
    given["scores0"] = torch.rand(1, POINTS, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(pose_consistency_loss(**given, compat=True).geometry, loss.geometry)
    assert (pose_consistency_loss(**given).geometry - loss.geometry).abs() > 1e-3


@pytest.mark.parametrize("compat", [False, True])
def test_too_few_matches(compat):
    given = scene()
    given["indices0"][0, 7:] = -1
    given["scores0"].requires_grad_()
    loss = pose_consistency_loss(**given, compat=compat)
    assert loss.valid == 0
    if compat:
        assert loss.pose.isnan() and loss.geometry.isnan()
        return
    (loss.pose + loss.geometry).backward()
    assert loss.pose == 0 == loss.geometry
    assert torch.equal(given["scores0"].grad, torch.zeros(1, POINTS, dtype=torch.float64))


def test_a_pair_with_too_few_matches_is_left_out_of_the_mean():
    one = with_outliers(6)
    two = {name: torch.cat([x, x]) for name, x in one.items()}
    two["indices0"][1, 7:] = -1
    two["scores0"].requires_grad_()
    loss, expected = pose_consistency_loss(**two), pose_consistency_loss(**one)
    torch.testing.assert_close(loss.pose, expected.pose)
    torch.testing.assert_close(loss.geometry, expected.geometry)
    loss.pose.backward()
    assert torch.isfinite(two["scores0"].grad).all()


def test_scores_of_image_1_belong_to_its_points():
    indices0 = torch.tensor([[2, -1, 0]])
    weights = match_weights(indices0, torch.tensor([[0.4, 0.5, 0.6]]), torch.tensor([[0.8, 0.9, 1.0]]))
    torch.testing.assert_close(weights, torch.tensor([[0.7, 0.0, 0.7]]))


def test_float32_and_autocast_give_the_same():
    given = with_outliers(6)
    expected = pose_consistency_loss(**given).pose
    single = {name: x.float() if x.is_floating_point() else x for name, x in given.items()}
    with torch.autocast("cpu", torch.bfloat16):
        found = pose_consistency_loss(**single).pose
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-3)
