"""The eight-point problem: the true essential matrix, both solvers, and a gradient that stays finite."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.one_to_one.eight_point import (
    WEIGHT_FLOOR,
    inlier_weights,
    smallest_eigenvector,
    weighted_eight_point,
)
from relpose_ros.networks.one_to_one.epipolar import homogeneous, symmetric_epipolar_distance
from relpose_ros.networks.one_to_one.synthetic import synthetic_correspondences

METHODS = ("eigh", "squaring")
each_method = pytest.mark.parametrize("method", METHODS)


def scene(outliers=0.0, noise=0.0, count=60):
    pairs = synthetic_correspondences(3, count, torch.Generator().manual_seed(2), outliers, noise)
    return pairs[..., :4].double()


def same_sign(essential):
    flat = essential.flatten(1)
    return flat * flat.gather(1, flat.abs().argmax(1, keepdim=True)).sign()


@each_method
def test_it_finds_the_matrix_that_exact_correspondences_obey(method):
    pairs = scene()
    essential = weighted_eight_point(pairs, torch.ones(3, 60, dtype=torch.float64), method)
    assert torch.allclose(torch.linalg.matrix_norm(essential), torch.ones(3, dtype=torch.float64))
    assert symmetric_epipolar_distance(essential, pairs).max() < 1e-12
    singular = torch.linalg.svdvals(essential)
    assert (singular[:, 2] < 1e-6).all()
    assert torch.allclose(singular[:, 0], singular[:, 1], atol=1e-6)


@each_method
def test_a_weight_of_zero_takes_a_correspondence_out(method):
    pairs = scene(outliers=0.5)
    weights = torch.ones(3, 60, dtype=torch.float64)
    weights[:, 30:] = 0
    essential = weighted_eight_point(pairs, weights, method)
    assert symmetric_epipolar_distance(essential, pairs[:, :30]).max() < 1e-12
    assert symmetric_epipolar_distance(essential, pairs[:, 30:]).max() > 1e-3


def test_both_solvers_agree_in_value_and_gradient():
    pairs, found = scene(outliers=0.3, noise=1e-3), []
    target = torch.arange(9.0).double()
    for method in METHODS:
        logits = torch.linspace(-1, 2, 180, dtype=torch.float64).reshape(3, 60).requires_grad_()
        vector = same_sign(weighted_eight_point(pairs, inlier_weights(logits), method))
        (vector @ target).sum().backward()
        found.append((vector.detach(), logits.grad))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-8)
    assert torch.linalg.vector_norm(found[0][1] - found[1][1]) < 1e-5 * torch.linalg.vector_norm(found[0][1])


@each_method
def test_the_gradient_is_that_of_finite_differences(method):
    pairs = scene(outliers=0.3, noise=1e-2)[:1]
    weights = torch.linspace(0.1, 1, 60, dtype=torch.float64)[None].requires_grad_()

    def vector(w):
        return same_sign(weighted_eight_point(pairs, w, method))

    assert torch.autograd.gradcheck(vector, (weights,), atol=1e-5, rtol=1e-3)


def test_the_gradient_is_that_of_eigh_where_eigenvalues_differ():
    pairs = scene(noise=1e-2)
    target = torch.arange(9.0).double()
    ours, theirs = (torch.full((3, 60), 0.5, dtype=torch.float64).requires_grad_() for _ in range(2))
    (same_sign(weighted_eight_point(pairs, ours)) @ target).sum().backward()
    first, second = homogeneous(pairs.unflatten(-1, (2, 2))).unbind(-2)
    rows = (second[..., :, None] * first[..., None, :]).flatten(-2)
    vector = torch.linalg.eigh(rows.mT @ (rows * theirs[..., None]))[1][..., 0]
    (same_sign(vector[..., None])[..., :] @ target).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


@each_method
@pytest.mark.parametrize("eigenvalues", [(0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 2, 2), (0, 1, 1, 1)])
def test_equal_eigenvalues_leave_it_finite(method, eigenvalues):
    matrix = torch.diag(torch.tensor(eigenvalues).double())[None].requires_grad_()
    vector = smallest_eigenvector(matrix, method)
    vector.sum().backward()
    assert torch.isfinite(matrix.grad).all()
    assert torch.allclose(torch.linalg.vector_norm(vector), torch.ones((), dtype=torch.float64))
    quotient = vector[0] @ matrix[0] @ vector[0]
    assert torch.allclose(quotient, matrix.diagonal(dim1=1, dim2=2).min())


def test_without_any_weight_the_floor_takes_all_correspondences():
    pairs, none = scene(), torch.zeros(3, 60, dtype=torch.float64)
    assert symmetric_epipolar_distance(weighted_eight_point(pairs, none), pairs).max() > 1e-3
    floored = weighted_eight_point(pairs, none, floor=WEIGHT_FLOOR)
    assert symmetric_epipolar_distance(floored, pairs).max() < 1e-12


def test_the_floor_does_not_matter_beside_inliers():
    pairs, weights = scene(outliers=0.5, noise=1e-3), torch.ones(3, 60, dtype=torch.float64)
    weights[:, 30:] = 0
    plain = same_sign(weighted_eight_point(pairs, weights))
    floored = same_sign(weighted_eight_point(pairs, weights, floor=WEIGHT_FLOOR))
    assert torch.allclose(plain, floored, atol=1e-5)


def test_it_keeps_the_type_and_works_under_autocast():
    pairs = scene().float()
    with torch.autocast("cpu", torch.bfloat16):
        essential = weighted_eight_point(pairs, torch.ones(3, 60))
    assert essential.dtype == torch.float32
    assert symmetric_epipolar_distance(essential, pairs).max() < 1e-8


def test_an_export_uses_no_eigh():
    class Solve(torch.nn.Module):
        def forward(self, pairs, weights):
            return weighted_eight_point(pairs, weights)

    pairs, weights = scene().float(), torch.ones(3, 60)
    program = torch.export.export(Solve(), (pairs, weights))
    graphs = (m for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule))
    assert not [n for graph in graphs for n in graph.graph.nodes if "linalg_eigh" in str(n.target)]
    found, expected = program.module()(pairs, weights), weighted_eight_point(pairs, weights)
    assert torch.allclose(same_sign(found), same_sign(expected), atol=1e-5)
