"""KFNet's losses: masks, what compat divides by, and where gradients are."""

from __future__ import annotations

import pytest
import torch

from relpose_training.losses.kfnet import (
    MAIN_LIMIT,
    accurate_share,
    filtered_coordinate_loss,
    ray_loss,
    smoothness_loss,
    squared_coordinate_loss,
)

POSE = torch.eye(4).expand(2, 4, 4)
HALF = torch.zeros(2, 6, 8, dtype=torch.bool)
HALF[:, :, :4] = True


def maps(seed: int = 0, channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, 6, 8, generator=torch.Generator().manual_seed(seed))


def test_unknown_cells_do_not_count():
    labels, scale = maps(), torch.ones(2, 1, 6, 8)
    noisy = labels + torch.where(HALF[:, None], 0.0, 1e3)
    assert squared_coordinate_loss(noisy, labels, HALF) == 0
    assert accurate_share(noisy, labels, HALF) == 1
    assert filtered_coordinate_loss(noisy, scale, labels, HALF) == 0


def test_an_image_without_labels_costs_nothing():
    assert filtered_coordinate_loss(maps(), torch.ones(2, 1, 6, 8), maps(1), ~HALF & HALF) == 0


def test_compat_divides_by_one_cell_more():
    labels, moved = maps(), maps() + 1
    right = squared_coordinate_loss(moved, labels, HALF)
    assert right.item() == pytest.approx(3)
    assert squared_coordinate_loss(moved, labels, HALF, compat=True).item() == pytest.approx(3 * 48 / 49)
    assert accurate_share(moved, labels, HALF, compat=True).item() == pytest.approx(1 / 49)


def test_the_limit_of_the_main_branch_leaves_bad_cells_without_a_gradient():
    labels, scale = maps(), torch.full((2, 1, 6, 8), 0.1)
    for limit, moves in ((None, True), (MAIN_LIMIT, False)):
        predicted = (labels + 1).requires_grad_()
        filtered_coordinate_loss(predicted, scale, labels, HALF, limit).backward()
        assert bool(predicted.grad.abs().max() > 0) is moves


def test_rays_do_not_care_for_depth_but_for_the_side_of_the_camera():
    rays = maps(channels=2)
    points = torch.cat([rays, torch.ones(2, 1, 6, 8)], dim=1)
    for factor in (0.5, 7.0):
        assert ray_loss(factor * points, POSE, rays, HALF).item() == pytest.approx(0, abs=1e-9)
    assert ray_loss(-points, POSE, rays, HALF).item() == pytest.approx(4)


def test_a_plane_is_smooth_and_an_edge_of_the_image_excuses_a_fold():
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    plane = torch.stack([x, y, x + 2 * y]).expand(2, 3, 6, 8)
    grey, everywhere = torch.full((2, 3, 6, 8), 100.0), torch.ones(2, 6, 8, dtype=torch.bool)
    assert smoothness_loss(plane, POSE, grey, everywhere).item() == pytest.approx(0, abs=1e-4)
    fold = plane + torch.relu(x - 4)
    edge = grey + 100 * (x > 4)
    assert smoothness_loss(fold, POSE, edge, everywhere) < 0.1 * smoothness_loss(fold, POSE, grey, everywhere)


def test_smoothness_asks_for_known_neighbours_unless_compat():
    noise, grey = maps(), torch.zeros(2, 3, 6, 8)
    spoiled = noise + torch.where(HALF[:, None], 0.0, 1e3)
    right = [smoothness_loss(m, POSE, grey, HALF) for m in (noise, spoiled)]
    original = [smoothness_loss(m, POSE, grey, HALF, compat=True) for m in (noise, spoiled)]
    torch.testing.assert_close(*right)
    assert original[1] > 2 * original[0]
