"""Soft assignments: what their marginals are, and that points masked out are as if they were not there."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.imp.assignment import add_dustbins, dual_softmax, sinkhorn

BIN = torch.tensor(1.1, dtype=torch.float64)


def random(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def twenty(similarity, bin_score, keep0=None, keep1=None):
    return sinkhorn(similarity, bin_score, 20, keep0, keep1)


either = pytest.mark.parametrize("assign", [twenty, dual_softmax])


def test_dustbins_are_last():
    padded = add_dustbins(random(2, 3, 4), BIN)
    assert padded.shape == (2, 4, 5)
    assert (padded[:, -1] == BIN).all() and (padded[:, :, -1] == BIN).all()


def test_every_point_is_assigned_once_if_both_images_have_as_many():
    p = sinkhorn(3 * random(2, 12, 12), BIN, 100)
    once = torch.ones(2, 12, dtype=torch.float64)
    torch.testing.assert_close(p[:, :-1].sum(2), once, atol=1e-4, rtol=0)
    torch.testing.assert_close(p[:, :, :-1].sum(1), once, atol=1e-6, rtol=0)


def test_columns_are_exact_when_the_numbers_differ():
    p = sinkhorn(3 * random(2, 14, 9), BIN, 20)
    torch.testing.assert_close(p[:, :, :-1].sum(1), torch.ones(2, 9, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(p[:, :, -1].sum(1), torch.full((2,), 10.0).double(), atol=1e-6, rtol=0)


def test_dual_softmax_is_the_product_of_two():
    similarity = random(1, 5, 4)
    padded = add_dustbins(similarity, BIN)
    expected = padded.softmax(1) * padded.softmax(2)
    torch.testing.assert_close(dual_softmax(similarity, BIN), expected)


@either
def test_masked_points_are_as_if_absent(assign):
    similarity = 3 * random(1, 11, 9)
    keep0, keep1 = torch.ones(1, 11, dtype=torch.bool), torch.ones(1, 9, dtype=torch.bool)
    keep0[0, [0, 4, 5]] = False
    keep1[0, [2, 8]] = False
    p = assign(similarity, BIN, keep0, keep1)
    rows, columns = keep0[0].nonzero()[:, 0], keep1[0].nonzero()[:, 0]
    alone = assign(similarity[:, rows][:, :, columns], BIN)
    inside = p[:, torch.cat([rows, torch.tensor([11])])][:, :, torch.cat([columns, torch.tensor([9])])]
    torch.testing.assert_close(inside, alone)
    assert (p[0, :-1][~keep0[0]] == 0).all() and (p[0][:, :-1][:, ~keep1[0]] == 0).all()


@either
def test_renaming_points_renames_the_assignment(assign):
    similarity = random(1, 6, 7)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    expected = assign(similarity, BIN)[:, torch.cat([order, torch.tensor([6])])]
    torch.testing.assert_close(assign(similarity[:, order], BIN), expected)


@either
def test_autocast_does_not_reach_it(assign):
    similarity, bin_score = random(1, 40, 40).float(), BIN.float()
    expected = assign(similarity, bin_score)
    with torch.autocast("cpu", torch.bfloat16):
        found = assign(similarity, bin_score)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@either
@pytest.mark.parametrize("size", [0.0, 1.0, 80.0, 1e4])
def test_values_and_gradients_stay_finite(assign, size):
    similarity = (size * random(1, 8, 6)).float().requires_grad_()
    bin_score = BIN.float().requires_grad_()
    p = assign(similarity, bin_score)
    (p + 1e-8).log().mean().backward()
    assert torch.isfinite(p).all() and torch.isfinite(similarity.grad).all()
    assert torch.isfinite(bin_score.grad)


@either
def test_an_empty_image_leaves_the_other_in_the_dustbin(assign):
    p = assign(random(1, 5, 0), BIN)
    assert p.shape == (1, 6, 1) and torch.isfinite(p).all()
