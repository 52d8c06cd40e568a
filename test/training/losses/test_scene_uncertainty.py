"""Likelihoods with a whole covariance, cells that count, and pixels of each image's own camera."""

from __future__ import annotations

import math

import pytest
import torch

from relpose_ros.networks.scene_coordinates.deviations import UNCERTAINTIES, deviation
from relpose_training.losses.coordinate import coordinate_loss
from relpose_training.losses.kfnet import filtered_coordinate_loss
from relpose_training.losses.reprojection import cell_mean, cell_pixels
from relpose_training.losses.scene_coordinate_init import reprojection_initialisation_loss
from relpose_training.losses.uncertainty import factor_matrix, factored_nll, gaussian_nll

H, W = 4, 6
MATRIX = torch.tensor([[[90.0, 0, 31], [0, 110, 14], [0, 0, 1]], [[70.0, 0, 20], [0, 65, 30], [0, 0, 1]]])
POSES = torch.eye(4).repeat(2, 1, 1)


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seen(depth=3.0):
    """Points (2, 3, H, W) that two cameras see at their own pixels (2, 2, H, W)."""
    pixels = torch.stack([cell_pixels(H, W), 0.7 * cell_pixels(H, W) + 2])
    rays = torch.einsum(
        "bij,bjhw->bihw", torch.linalg.inv(MATRIX), torch.cat([pixels, torch.ones(2, 1, H, W)], 1)
    )
    return rays * depth, pixels


def test_the_likelihood_is_that_of_a_normal_distribution():
    error, raw = random(5, 3, 7, dtype=torch.float64), 0.7 * random(5, 6, 7, seed=1, dtype=torch.float64)
    factor = deviation(raw)
    normal = torch.distributions.MultivariateNormal(
        torch.zeros(3, dtype=torch.float64), scale_tril=factor_matrix(factor)
    )
    expected = -normal.log_prob(error.movedim(1, -1)) - 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(factored_nll(error, factor), expected)


def test_a_round_covariance_is_the_isotropic_likelihood():
    error, scale = random(2, 3, H, W), 0.1 + random(2, 1, H, W, seed=1).abs()
    none = torch.zeros_like(scale)
    factor = torch.cat([scale, none, scale, none, none, scale], dim=1)
    expected = gaussian_nll(error.square().sum(1), scale[:, 0], dimension=3)
    torch.testing.assert_close(factored_nll(error, factor), expected)
    known = random(2, H, W, seed=3) > 0
    points, pixels = seen()
    given = (points + error, points, known, POSES, MATRIX)
    whole, _ = coordinate_loss(*given, factor, pixels=pixels)
    single, _ = coordinate_loss(*given, scale, pixels=pixels)
    torch.testing.assert_close(whole, single)
    torch.testing.assert_close(
        filtered_coordinate_loss(points + error, factor, points, known),
        filtered_coordinate_loss(points + error, scale, points, known),
    )


def test_the_likelihood_finds_the_covariance_of_what_it_sees():
    lower = torch.tensor([[0.3, 0, 0], [0.5, 0.1, 0], [-0.2, 0.05, 0.02]])  # correlations up to 0.98
    samples = (random(4000, 3) @ lower.T)[:, :, None]
    raw = torch.zeros(1, 6, 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([raw], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = factored_nll(samples, deviation(raw).expand(4000, 6, 1)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = factor_matrix(deviation(raw.detach()))[0, 0]
    covariance, truth = found @ found.T, lower @ lower.T
    scale = truth.diagonal().sqrt()
    assert ((covariance - truth) / (scale[:, None] * scale)).abs().max() < 0.06


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4])
def test_whatever_the_last_layer_says_is_a_covariance(size):
    raw = size * random(3, UNCERTAINTIES["anisotropic"], H, W)
    matrix = factor_matrix(deviation(raw))
    assert torch.isfinite(matrix).all() and (matrix.diagonal(dim1=-2, dim2=-1) > 0).all()
    assert torch.equal(matrix, matrix.tril())
    slopes = matrix / matrix.diagonal(dim1=-2, dim2=-1)[..., None]
    assert slopes.abs().max() <= 20.001


def test_one_error_has_a_gradient_in_all_six_entries():
    raw = (0.1 * random(1, 6, 1, 1)).requires_grad_()
    factored_nll(torch.tensor([0.3, -0.5, 0.9]).reshape(1, 3, 1, 1), deviation(raw)).sum().backward()
    assert (raw.grad.abs() > 1e-3).all()


def test_cells_outside_do_not_count_and_get_no_gradient():
    points, pixels = seen()
    inside = torch.zeros(2, H, W, dtype=torch.bool)
    inside[:, :, :3] = True
    guess = (points + 0.2).requires_grad_()
    known = torch.ones_like(inside)
    half = [x[..., :3] for x in (guess, points, pixels)]
    for whole, part in (
        (
            coordinate_loss(guess, points, known, POSES, MATRIX, pixels=pixels, inside=inside),
            coordinate_loss(half[0], half[1], known[..., :3], POSES, MATRIX, pixels=half[2]),
        ),
        (
            reprojection_initialisation_loss(guess, POSES, MATRIX, pixels=pixels, inside=inside),
            reprojection_initialisation_loss(half[0], POSES, MATRIX, pixels=half[2]),
        ),
    ):
        torch.testing.assert_close(whole, part)
        guess.grad = None
        whole[0].sum().backward(retain_graph=True)
        assert guess.grad[..., 3:].abs().max() == 0 < guess.grad[..., :3].abs().max()


def test_an_image_that_is_all_padding_costs_nothing():
    nothing = torch.zeros(2, H, W, dtype=torch.bool)
    assert cell_mean(torch.ones(2, H, W), nothing).tolist() == [0, 0]


def test_each_image_has_its_own_pixels():
    points, pixels = seen()
    perfect, valid = reprojection_initialisation_loss(points, POSES, MATRIX, pixels=pixels)
    assert perfect.max() < 1e-3 and valid.min() == 1
    wrong, _ = reprojection_initialisation_loss(points, POSES, MATRIX, pixels=pixels.flip(0))
    assert wrong.min() > 1
    behind = torch.cat([points[:, :2], -points[:, 2:]], dim=1)  # drawn to the ray of its own pixel, 10 m away
    drawn, _ = reprojection_initialisation_loss(behind, POSES, MATRIX, pixels=pixels)
    proxy = points / 3.0 * 10
    torch.testing.assert_close(drawn, (behind - proxy).abs().sum(1).mean((1, 2)))
