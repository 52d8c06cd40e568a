"""The augmentation: image, labels, pose and normals must go on telling one story."""

from __future__ import annotations

import math

import pytest
import torch

from relpose_training.data.turn_and_scale import (
    LabelledBatch,
    draw_turn_and_scale,
    sample,
    turn_and_scale,
)
from relpose_training.losses.reprojection import cell_pixels, reprojection_error, to_camera

HEIGHT, WIDTH = 96, 128
MATRIX = torch.tensor([[100.0, 0, 60], [0, 120, 50], [0, 0, 1]], dtype=torch.float64)
NORMAL = torch.tensor([0.36, 0.48, -0.8], dtype=torch.float64)


def wall() -> LabelledBatch:
    """A wall at 4 m: images that hold their own pixel, labels that hold the points, one normal."""
    y, x = torch.meshgrid(torch.arange(HEIGHT * 1.0), torch.arange(WIDTH * 1.0), indexing="ij")
    images = torch.stack([x, y]).double()[None]
    cells = torch.cat([cell_pixels(HEIGHT // 8, WIDTH // 8), torch.ones(1, HEIGHT // 8, WIDTH // 8)]).double()
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], _ = torch.linalg.qr(torch.arange(9.0, dtype=torch.float64).reshape(3, 3) ** 1.5 - 4)
    pose[:3, :3] *= torch.linalg.det(pose[:3, :3])
    pose[:3, 3] = torch.tensor([1.0, 2, 3])
    points = 4 * torch.einsum("ij,jhw->ihw", torch.linalg.inv(MATRIX), cells)
    world = torch.einsum("ij,jhw->ihw", pose[:3, :3], points) + pose[:3, 3, None, None]
    normals = NORMAL[:, None, None].expand_as(points).clone()
    normals[:, 0, 0] = -1
    return LabelledBatch(images, world[None], pose[None], MATRIX[None], normals[None])


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (1.25, 20.0), (0.7, -30.0), (1.5, 30.0)])
def test_labels_project_to_within_a_cell_of_where_they_are(scale, degrees):
    out = turn_and_scale(wall(), scale, math.radians(degrees))
    known = ~(out.labels == -1).all(1)
    points = to_camera(out.labels, out.world_from_camera)
    error = reprojection_error(points, out.camera_matrix, cell_pixels(*out.labels.shape[2:]).double(), 0.1)
    assert known.double().mean() > 0.5
    # The nearest label is half a cell away at most, in each axis and in pixels of the input.
    assert error[known].max() < 4 * math.sqrt(2) * scale * 1.2 + 1e-6
    assert degrees or error[known].max() < 1e-6


def test_pixels_keep_their_rays():
    before = wall()
    after = turn_and_scale(before, 1.25, math.radians(20))
    inverse = torch.linalg.inv(after.camera_matrix[0])
    turn = before.world_from_camera[0, :3, :3].T @ after.world_from_camera[0, :3, :3]
    for u, v in ((60, 60), (90, 40), (30, 80)):
        ray = turn @ inverse @ torch.tensor([u, v, 1.0], dtype=torch.float64)
        pixel = (MATRIX @ ray)[:2] / ray[2]
        torch.testing.assert_close(after.images[0, :, v, u], pixel, rtol=1e-6, atol=1e-6)


def test_the_image_turns_counter_clockwise():
    image = torch.zeros(1, 1, 65, 65)
    image[0, 0, 32, 60] = 1  # right of the middle
    matrix = torch.tensor([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])[None]
    batch = LabelledBatch(image, torch.zeros(1, 1, 9, 9), torch.eye(4)[None], matrix)
    for compat in (False, True):
        turned = turn_and_scale(batch, 1.0, math.radians(90), compat=compat).images[0, 0]
        assert turned[4, 32] > 0.9  # above the middle


def test_normals_turn_with_the_camera():
    before = wall()
    after = turn_and_scale(before, 1.0, math.radians(25))
    assert after.normals is not None
    known = ~(after.normals == -1).all(1)[0]
    world = after.world_from_camera[0, :3, :3] @ after.normals[0][:, known]
    expected = (before.world_from_camera[0, :3, :3] @ NORMAL)[:, None].expand_as(world)
    torch.testing.assert_close(world, expected)
    assert not known.all()  # the label without a normal, and the corners


def test_compat_turns_the_image_alone():
    before = wall()
    after = turn_and_scale(before, 1.0, math.radians(25), compat=True)
    assert after.normals is not None
    assert torch.equal(after.world_from_camera, before.world_from_camera)
    inside = (after.normals != -1).all(1)[0]
    torch.testing.assert_close(after.normals[0][:, inside], NORMAL[:, None].expand(3, int(inside.sum())))
    points = to_camera(after.labels, after.world_from_camera)
    known = ~(after.labels == -1).all(1)
    pixels = cell_pixels(*after.labels.shape[2:]).double()
    assert reprojection_error(points, after.camera_matrix, pixels, 0.1)[known].max() > 15


def test_outside_is_marked():
    values = sample(torch.ones(1, 1, 2, 2), torch.tensor([[[[-0.6, 0.0], [0.2, 0.4]]]]), "nearest", -1.0)
    assert values.flatten().tolist() == [-1, 1]


def test_draws_are_seeded_and_in_range():
    draws = [draw_turn_and_scale(torch.Generator().manual_seed(s)) for s in range(50)]
    assert draws[3] == draw_turn_and_scale(torch.Generator().manual_seed(3))
    assert all(2 / 3 <= s <= 3 / 2 and abs(a) <= math.radians(30) for s, a in draws)
    assert len(set(draws)) == 50
