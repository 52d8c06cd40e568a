"""Matches out of an assignment."""

from __future__ import annotations

import torch

from relpose_ros.networks.imp.mutual import mutual_matches


def with_dustbins(core: list[list[float]]) -> torch.Tensor:
    """A dustbin of 9 everywhere: it must not be looked at."""
    return torch.nn.functional.pad(torch.tensor([core]), (0, 1, 0, 1), value=9.0)


def test_a_small_example():
    found = mutual_matches(with_dustbins([[0.6, 0.1, 0.0], [0.7, 0.0, 0.2], [0.0, 0.15, 0.3]]), 0.2)
    # 0 prefers column 0, which prefers row 1; row 2 and column 2 agree; column 1 prefers row 2.
    assert found.indices0.tolist() == [[-1, 0, 2]]
    assert found.indices1.tolist() == [[1, -1, 2]]
    assert torch.equal(found.scores0, torch.tensor([[0.0, 0.7, 0.3]]))
    assert torch.equal(found.scores1, torch.tensor([[0.7, 0.0, 0.3]]))
    assert found.indices0.dtype == found.indices1.dtype == torch.int64


def test_a_pair_below_the_threshold_keeps_its_score():
    found = mutual_matches(with_dustbins([[0.15, 0.0], [0.0, 0.9]]), 0.2)
    assert found.indices0.tolist() == [[-1, 1]]
    assert torch.equal(found.scores0, torch.tensor([[0.15, 0.9]]))


def test_both_sides_tell_the_same():
    assignment = torch.rand(3, 31, 24, generator=torch.Generator().manual_seed(2))
    found = mutual_matches(assignment, 0.5)
    pairs0 = {(b, i, int(j)) for b in range(3) for i, j in enumerate(found.indices0[b]) if j >= 0}
    pairs1 = {(b, int(i), j) for b in range(3) for j, i in enumerate(found.indices1[b]) if i >= 0}
    assert pairs0 == pairs1 and pairs0
    assert all(found.scores0[b, i] == assignment[b, i, j] == found.scores1[b, j] for b, i, j in pairs0)


def test_an_empty_image_has_no_matches():
    for rows, columns in ((0, 3), (3, 0), (0, 0)):
        found = mutual_matches(torch.ones(2, rows + 1, columns + 1), 0.2)
        assert found.indices0.shape == found.scores0.shape == (2, rows)
        assert found.indices1.shape == found.scores1.shape == (2, columns)
        assert (found.indices0 == -1).all() and (found.indices1 == -1).all()


def test_scores_carry_gradients():
    assignment = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(2)).requires_grad_()
    found = mutual_matches(assignment, 0.2)
    (found.scores0.sum() + found.scores1.sum()).backward()
    assert assignment.grad is not None
    core = assignment.grad[0, :-1, :-1]
    assert {float(x) for x in core.unique()} == {0.0, 2.0}
    assert int((core == 2).sum()) == int((found.scores0 > 0).sum())
