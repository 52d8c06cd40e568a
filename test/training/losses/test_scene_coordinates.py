"""Losses on maps of coordinates, depths and normals: clamps, masks, switches, gradients, cameras."""

from __future__ import annotations

import math

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.scene_coordinates.normals import angles_of_vectors, logits_of_angles
from relpose_training.losses.coordinate import CoordinateClamps, coordinate_loss
from relpose_training.losses.depth import DepthClamps, depth_loss
from relpose_training.losses.normal import NormalClamps, normal_loss
from relpose_training.losses.reprojection import cell_pixels, reprojection_error, root_above, to_camera
from relpose_training.losses.scene_coordinate_init import (
    InitialisationClamps,
    coordinate_initialisation_loss,
    reprojection_initialisation_loss,
)
from relpose_training.losses.semantics import semantics_loss
from relpose_training.losses.uncertainty import gaussian_nll

H, W = 5, 7
MATRIX = torch.tensor([[90.0, 0, 31], [0, 110, 14], [0, 0, 1]])  # fx != fy, off-centre


def scene(batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points (B, 3, H, W) that poses (B, 4, 4) see at the pixels of their cells, and their depths."""
    generator = torch.Generator().manual_seed(seed)
    depth = 2 + 3 * torch.rand(batch, 1, H, W, generator=generator)
    pixels = torch.cat([cell_pixels(H, W), torch.ones(1, H, W)])
    rays = torch.einsum("ij,jhw->ihw", torch.linalg.inv(MATRIX), pixels)
    rotation, _ = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator))
    rotation = rotation * torch.linalg.det(rotation)[:, None, None]
    poses = torch.eye(4).repeat(batch, 1, 1)
    poses[:, :3, :3], poses[:, :3, 3] = rotation, torch.randn(batch, 3, generator=generator)
    points = torch.einsum("bij,bjhw->bihw", rotation, rays * depth) + poses[:, :3, 3, None, None]
    return points, poses, depth


KNOWN = torch.ones(2, H, W, dtype=torch.bool)


def test_points_project_to_the_pixels_of_their_cells_with_any_focal_lengths():
    points, poses, depth = scene()
    camera = to_camera(points, poses)
    torch.testing.assert_close(camera[:, 2:], depth, rtol=1e-4, atol=1e-4)
    assert reprojection_error(camera, MATRIX, cell_pixels(H, W), 0.1).max() < 1e-3
    shifted = camera + torch.tensor([1.0, 0, 0])[:, None, None]
    error = reprojection_error(shifted, MATRIX.expand(2, 3, 3), cell_pixels(H, W), 0.1)
    torch.testing.assert_close(error, 90 / depth[:, 0], rtol=1e-3, atol=1e-3)


def test_cells_are_where_labels_are_sampled():
    pixels = cell_pixels(2, 3)
    assert pixels[0].tolist() == [[4, 12, 20]] * 2 and pixels[1, :, 0].tolist() == [4, 12]


def test_the_root_joins_the_error_smoothly_in_value():
    error = torch.tensor([0.0, 50, 100, 400])
    torch.testing.assert_close(root_above(error, 100), torch.tensor([0.0, 50, 100, 200]))


def test_perfect_coordinates_cost_nothing_in_any_mode():
    points, poses, _ = scene()
    for labels in (None, points):
        loss, valid = reprojection_initialisation_loss(points, poses, MATRIX, labels)
        assert loss.shape == (2,) and loss.max() < 1e-3 and valid.min() == 1
    assert coordinate_initialisation_loss(points, points, KNOWN)[0].max() == 0
    for variant in ("transpose", "crossloc"):
        assert coordinate_loss(points, points, KNOWN, poses, MATRIX, variant=variant)[0].max() < 1e-3


def test_cells_behind_the_camera_are_drawn_to_the_label_or_to_the_ray():
    points, poses, depth = scene()
    behind = 2 * poses[:, :3, 3, None, None] - points
    loss, valid = reprojection_initialisation_loss(behind, poses, MATRIX, points)
    assert valid.max() == 0
    torch.testing.assert_close(loss, (behind - points).norm(dim=1).mean((1, 2)))
    clamps = InitialisationClamps(target_depth=10.0)
    at_target = to_camera(points, poses) * 10 / depth
    proxy = torch.einsum("bij,bjhw->bihw", poses[:, :3, :3], at_target) + poses[:, :3, 3, None, None]
    loss, _ = reprojection_initialisation_loss(behind, poses, MATRIX, clamps=clamps)
    expected = (to_camera(behind, poses) - to_camera(proxy, poses)).abs().sum(1).mean((1, 2))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


def test_compat_draws_to_a_depth_of_one_metre():
    points, poses, _ = scene()
    behind = 2 * poses[:, :3, 3, None, None] - points
    right, _ = reprojection_initialisation_loss(behind, poses, MATRIX)
    original, _ = reprojection_initialisation_loss(behind, poses, MATRIX, compat=True)
    torch.testing.assert_close(right - original, torch.full((2,), 9.0), rtol=1e-4, atol=1e-4)


def test_a_label_far_from_the_prediction_decides_and_an_unknown_one_does_not():
    points, poses, _ = scene()
    labels = points + torch.tensor([0.3, 0, 0])[:, None, None]
    far, valid = reprojection_initialisation_loss(points, poses, MATRIX, labels, KNOWN)
    assert valid.max() == 0
    torch.testing.assert_close(far, torch.full((2,), 0.3), rtol=1e-4, atol=1e-4)
    near, valid = reprojection_initialisation_loss(points, poses, MATRIX, labels, ~KNOWN)
    assert valid.min() == 1 and near.max() < 1e-3


def test_an_image_without_labels_costs_nothing_unless_compat():
    points, _, _ = scene()
    assert coordinate_initialisation_loss(points, points + 1, ~KNOWN)[0].tolist() == [0, 0]
    assert coordinate_initialisation_loss(points, points + 1, ~KNOWN, compat=True)[0].isnan().all()


def test_only_crossloc_draws_valid_cells_to_their_labels():
    points, poses, _ = scene()
    labels = points + torch.tensor([0.3, 0, 0])[:, None, None]
    loss = {v: coordinate_loss(points, labels, KNOWN, poses, MATRIX, variant=v)[0] for v in VARIANTS}
    assert loss["transpose"].max() < 1e-3
    torch.testing.assert_close(loss["crossloc"], torch.full((2,), 0.3), rtol=1e-2, atol=1e-3)
    with pytest.raises(ConfigurationError, match="transpose"):
        coordinate_loss(points, labels, KNOWN, poses, MATRIX, variant="ace")


VARIANTS = ("transpose", "crossloc")


def test_compat_only_adds_a_constant_to_the_coordinate_loss():
    points, poses, _ = scene()
    for variant, constant in (("transpose", 3.2e-4), ("crossloc", 3.2e-3)):
        gradients = []
        for compat in (False, True):
            moved = (points + 0.01).requires_grad_()
            options = {"variant": variant, "compat": compat}
            loss, _ = coordinate_loss(moved, points, KNOWN, poses, MATRIX, **options)
            gradients.append((loss.mean(), torch.autograd.grad(loss.sum(), moved)[0]))
        (value, gradient), (original, same) = gradients
        assert (original - value).item() == pytest.approx(constant, rel=0.1)
        torch.testing.assert_close(gradient, same)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_best_scale_is_the_error_of_one_axis(dimension):
    squared = torch.tensor(4.0)
    best = math.sqrt(4.0 / dimension)
    at_best = gaussian_nll(squared, torch.tensor(best), dimension)
    assert all(gaussian_nll(squared, torch.tensor(best * f), dimension) > at_best for f in (0.9, 1.1))


def test_the_floor_of_the_scale_is_one_unless_compat():
    tiny, floor = torch.tensor(1e-6), torch.tensor(1e-7).sqrt()
    zero = torch.tensor(0.0)
    assert gaussian_nll(zero, tiny, 3) == gaussian_nll(zero, floor, 3)
    assert gaussian_nll(zero, tiny, 3, compat=True) < gaussian_nll(zero, floor, 3, compat=True) - 10


def _depth_with_scale(scale, variant, compat):
    depth = torch.full((1, 1, 2, 2), 12.0)
    known = torch.ones(1, 2, 2, dtype=torch.bool)
    return depth_loss(depth, depth - 2, known, scale.expand(1, 1, 2, 2), variant=variant, compat=compat)[0]


@pytest.mark.parametrize(
    ("variant", "compat", "variance"),
    [
        ("transpose", False, 4.0),
        ("transpose", True, 4 / 3),
        ("crossloc", False, 4.0),
        ("crossloc", True, 4.0),
    ],
)
def test_transpose_is_over_confident_of_depth_by_the_root_of_three(variant, compat, variance):
    scale = torch.tensor(variance**0.5).requires_grad_()
    _depth_with_scale(scale, variant, compat).sum().backward()
    assert scale.grad.abs() < 1e-5


def test_depths_beyond_the_hard_clamp_are_not_valid():
    truth = torch.full((1, 1, 1, 4), 20.0)
    depth = truth + torch.tensor([0.0, 4.0, 8.0, 11.0])
    known = torch.ones(1, 1, 4, dtype=torch.bool)
    loss, valid = depth_loss(depth, truth, known, clamps=DepthClamps(soft=2.0), variant="transpose")
    assert valid.item() == 0.75
    assert loss.item() == pytest.approx((0 + math.sqrt(8) + 4 + 11) / 4)
    loss, _ = depth_loss(depth, truth, known)
    assert loss.item() == pytest.approx(23 / 4)


def _normals(degrees: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (1, 2, 1, 1) of an elevation `degrees` above that of the labels (1, 3, 1, 1)."""
    labels = torch.tensor([math.cos(0.2), 0.0, math.sin(0.2)]).reshape(1, 3, 1, 1)
    angles = angles_of_vectors(labels) + torch.tensor([0.0, math.radians(degrees)])[:, None, None]
    return logits_of_angles(angles), labels


def test_the_soft_clamp_of_normals_is_in_the_unit_of_the_error():
    known = torch.ones(1, 1, 1, dtype=torch.bool)
    for degrees, expected in ((4.0, math.radians(4)), (8.0, math.sqrt(math.radians(5) * math.radians(8)))):
        loss, valid = normal_loss(*_normals(degrees), known, variant="transpose")
        assert valid == 1 and loss.item() == pytest.approx(expected, rel=1e-4)
    original, _ = normal_loss(*_normals(8.0), known, variant="transpose", compat=True)
    assert original.item() == pytest.approx(math.sqrt(5 * math.radians(8)), rel=1e-3)
    assert normal_loss(*_normals(11.0), known, clamps=NormalClamps(hard=10.0))[1] == 0


def test_azimuth_goes_round():
    labels = torch.tensor([-1.0, -0.01, 0]).reshape(1, 3, 1, 1)
    logits = logits_of_angles(angles_of_vectors(torch.tensor([-1.0, 0.01, 0]).reshape(1, 3, 1, 1)))
    loss, valid = normal_loss(logits, labels, torch.ones(1, 1, 1, dtype=torch.bool))
    assert valid == 1 and loss.item() == pytest.approx(0.04, rel=0.01)


def test_semantics_counts_what_is_right():
    logits = torch.eye(3)[None, :, :, None] * 10
    loss, right = semantics_loss(logits, torch.tensor([[[0], [1], [0]]]))
    assert right.item() == pytest.approx(2 / 3)
    assert loss.item() == pytest.approx(10 / 3, rel=0.01)


CALLS = {
    "init mode 0": lambda x, p, s: reprojection_initialisation_loss(x, p, MATRIX),
    "init mode 1": lambda x, p, s: reprojection_initialisation_loss(x, p, MATRIX, x.detach(), KNOWN),
    "init mode 2": lambda x, p, s: coordinate_initialisation_loss(x, x.detach(), KNOWN),
    "transpose": lambda x, p, s: coordinate_loss(
        x, x.detach(), KNOWN, p, MATRIX, clamps=CoordinateClamps(), variant="transpose"
    ),
    "likelihood": lambda x, p, s: coordinate_loss(x, x.detach(), KNOWN, p, MATRIX, s),
    "depth": lambda x, p, s: depth_loss(x[:, 2:], x[:, 2:].detach(), KNOWN, s),
    "normal": lambda x, p, s: normal_loss(x[:, :2], torch.full_like(x, -1.0), ~KNOWN, s),
}


@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_finite_at_the_solution_and_far_from_it(name):
    points, poses, _ = scene()
    for factor in (1.0, -1e4, 0.0):
        leaf, scale = (factor * points).requires_grad_(), torch.full((2, 1, H, W), 1e-5).requires_grad_()
        CALLS[name](leaf, poses, scale)[0].sum().backward()
        assert torch.isfinite(leaf.grad).all()
        assert scale.grad is None or torch.isfinite(scale.grad).all()


@pytest.mark.parametrize("name", CALLS)
def test_autocast_does_not_make_losses_coarse(name):
    points, poses, _ = scene()
    moved = points + 0.01
    exact, _ = CALLS[name](moved, poses, torch.ones(2, 1, H, W))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under, _ = CALLS[name](moved, poses, torch.ones(2, 1, H, W))
    assert under.dtype == torch.float32
    torch.testing.assert_close(under, exact)
