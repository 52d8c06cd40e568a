"""The matching loss and its accuracy counters."""

from __future__ import annotations

import math

import pytest
import torch

from relpose_training.losses.matching import kept_target, matching_accuracy, matching_loss


def target(rows: int, columns: int, pairs: list[tuple[int, int]]) -> torch.Tensor:
    """(1, rows+1, columns+1): who is not in `pairs` goes to the dustbin."""
    mask = torch.zeros(1, rows + 1, columns + 1)
    for i, j in pairs:
        mask[0, i, j] = 1
    mask[0, :-1, -1] = 1 - mask[0, :-1, :-1].amax(1)
    mask[0, -1, :-1] = 1 - mask[0, :-1, :-1].amax(0)
    return mask


def noise(*shape: int) -> torch.Tensor:
    return 0.05 + 0.9 * torch.rand(*shape, generator=torch.Generator().manual_seed(6))


def every(keep: list[bool]) -> torch.Tensor:
    """(1, 1, N)."""
    return torch.tensor([[keep]])


MASK = target(3, 4, [(0, 1), (2, 2)])


def test_the_truth_costs_nothing():
    loss = matching_loss(MASK.unsqueeze(1), MASK, hard_negative_margin=0.1)
    assert loss.total.abs() < 1e-6 and loss.hard_negative == 0


def test_a_small_example():
    p = torch.full((1, 1, 4, 5), 0.5)
    p[0, 0, 0, 1] = 0.25
    loss = matching_loss(p, MASK)
    assert loss.matched == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert loss.unmatched == pytest.approx(math.log(2))
    assert loss.total == pytest.approx(float(loss.matched + loss.unmatched))


def test_all_iterations_count_alike():
    p = noise(2, 3, 4, 5)
    mask = MASK.expand(2, -1, -1)
    each = torch.stack([matching_loss(p[:, i : i + 1], mask).total for i in range(3)])
    torch.testing.assert_close(matching_loss(p, mask).total, each.mean())


def test_hard_negatives_push_the_best_wrong_one_away():
    p = torch.zeros(1, 1, 3, 3)
    p[0, 0] = torch.tensor([[0.5, 0.45, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 0.0]])
    mask = target(2, 2, [(0, 0), (1, 1)])
    # Row 0 lacks 0.05 of the margin; so does no column, row 1 neither.
    loss = matching_loss(p, mask, hard_negative_margin=0.1)
    assert loss.hard_negative == pytest.approx(0.05 / 2 / 2)


@pytest.mark.parametrize("compat", [False, True])
def test_nobody_unmatched_in_image_0(compat):
    """The original then forgets the unmatched points of image 1."""
    mask = target(2, 3, [(0, 0), (1, 1)])
    loss = matching_loss(torch.full((1, 1, 3, 4), 0.5), mask, compat=compat)
    assert loss.unmatched == pytest.approx(0.0 if compat else math.log(2) / 2)


def test_nobody_unmatched_and_nothing_matched_are_no_nan():
    for pairs in ([(0, 0), (1, 1)], []):
        p = noise(1, 2, 3, 3).requires_grad_()
        loss = matching_loss(p, target(2, 2, pairs), hard_negative_margin=0.1).total
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(p.grad).all()


def test_a_point_without_a_label_is_ignored():
    mask = MASK.clone()
    mask[0, 1, -1] = 0
    p = noise(1, 1, 4, 5).requires_grad_()
    p.data[0, 0, 1] = 0
    matching_loss(p, mask, hard_negative_margin=0.1).total.backward()
    assert p.grad is not None and p.grad[0, 0, 1].abs().sum() == 0
    assert torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0
    keep0, keep1 = torch.ones(1, 1, 3, dtype=torch.bool), torch.ones(1, 1, 4, dtype=torch.bool)
    torch.testing.assert_close(kept_target(mask.unsqueeze(1), keep0, keep1)[:, 0], mask)


def test_a_partner_that_left_makes_a_point_unmatched():
    keep0, keep1 = every([True, True, False]), every([True, False, True, True])
    found = kept_target(MASK.unsqueeze(1), keep0, keep1)[0, 0]
    expected = torch.zeros(4, 5)
    expected[0, 4] = expected[1, 4] = 1  # 0 lost column 1; 1 had none
    expected[3, 0] = expected[3, 2] = expected[3, 3] = 1  # column 2 lost row 2
    assert torch.equal(found, expected)


def test_dropped_points_are_as_if_absent():
    p = noise(1, 1, 4, 5)
    keep0, keep1 = every([True, False, True]), every([True, True, True, False])
    rows, columns = torch.tensor([0, 2, 3]), torch.tensor([0, 1, 2, 4])
    for margin in (None, 0.1):
        small = matching_loss(
            p[:, :, rows][..., columns], MASK[:, rows][..., columns], hard_negative_margin=margin
        )
        masked = p * torch.nn.functional.pad(keep0, (0, 1), value=True).unsqueeze(-1)
        masked = masked * torch.nn.functional.pad(keep1, (0, 1), value=True).unsqueeze(-2)
        large = matching_loss(masked, MASK, keep0, keep1, hard_negative_margin=margin)
        for ours, expected in zip(large, small, strict=True):
            torch.testing.assert_close(ours, expected)


def test_everything_dropped_is_no_nan():
    p = torch.zeros(1, 1, 4, 5).requires_grad_()
    loss = matching_loss(p, MASK, every([False] * 3), every([False] * 4), hard_negative_margin=0.1)
    loss.total.backward()
    assert loss.total == 0 and torch.isfinite(p.grad).all()


def test_accuracy_counts():
    indices0 = torch.tensor([[[1, -1, -1], [1, 3, 2]]])  # right, right, missed; right, false, right
    found = matching_accuracy(indices0, MASK)
    assert [float(x) for x in found] == [1.5, 0.5, 2.0, 1.0]
