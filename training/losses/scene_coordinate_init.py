"""How DSAC* initialises scene coordinates (Brachmann and Rother, TPAMI 2021, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relpose_training.losses.reprojection import (
    cell_mean,
    cell_pixels,
    full_precision,
    reprojection_error,
    root_above,
    to_camera,
)


@dataclass(frozen=True)
class InitialisationClamps:
    """When a cell's prediction is good enough to be improved by its reprojection error."""

    tolerance: float = 0.1  # m, at most this far from the label, where there is one
    min_depth: float = 0.1  # m, in front of the camera
    max_depth: float = 1000.0  # m, used without labels
    target_depth: float = 10.0  # m, where points are drawn to without labels
    soft: float = 100.0  # px, above which the error counts by its root
    hard: float = 1000.0  # px, at most


DEFAULT_CLAMPS = InitialisationClamps()


@full_precision
def reprojection_initialisation_loss(
    coordinates: Tensor,
    world_from_camera: Tensor,
    camera_matrix: Tensor,
    labels: Tensor | None = None,
    known: Tensor | None = None,
    clamps: InitialisationClamps = DEFAULT_CLAMPS,
    pixels: Tensor | None = None,
    compat: bool = False,
    inside: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss (B,) and share of valid cells (B,) of predicted coordinates (B, 3, h, w): modes 0 and 1.

    Y is the prediction in the camera's frame, e its pixel error. A cell is valid if Y_z >= min_depth,
    e <= hard, and: with labels (mode 1), |Y - Y_label| <= tolerance or no label; without (mode 0),
    Y_z <= max_depth. loss = mean over cells of: min(e, sqrt(soft e)) where valid; elsewhere, with labels,
    |Y - Y_label| (0 if there is none); without, |Y - proxy|_1, with the proxy on the pixel's ray at
    target_depth.

    `world_from_camera` (B, 4, 4); `camera_matrix` (3, 3) or (B, 3, 3); `labels` (B, 3, h, w) in the world,
    `known` (B, h, w) which of them exist (all if not given); `pixels` (2, h, w) or (B, 2, h, w), by default
    8x + 4; `inside` (B, h, w) the cells that count (all if not given).
    `compat`: the proxy has z = 1 as in the original.
    """
    height, width = coordinates.shape[2:]
    if pixels is None:
        pixels = cell_pixels(height, width, device=coordinates.device)
    points = to_camera(coordinates, world_from_camera)
    error = reprojection_error(points, camera_matrix, pixels, clamps.min_depth)
    valid = (points[:, 2] >= clamps.min_depth) & (error <= clamps.hard)
    if labels is None:
        valid = valid & (points[:, 2] <= clamps.max_depth)
        proxy = _points_on_rays(pixels, camera_matrix, clamps.target_depth, len(points), compat)
        otherwise = (points - proxy).abs().sum(1)
    else:
        has = torch.ones_like(valid) if known is None else known
        distance = _distance(coordinates, labels)
        valid = valid & ~(has & (distance > clamps.tolerance))
        otherwise = torch.where(has, distance, torch.zeros_like(distance))
    # Chosen before the root: the gradient of a value not taken must not be infinite times zero.
    error = torch.where(valid, error, torch.zeros_like(error))
    loss = torch.where(valid, root_above(error, clamps.soft), otherwise)
    return cell_mean(loss, inside), cell_mean(valid.to(loss.dtype), inside)


@full_precision
def coordinate_initialisation_loss(
    coordinates: Tensor, labels: Tensor, known: Tensor, compat: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean of |X - X_label| over known cells (B,), and their share (B,): mode 2, for images with depth.

    `coordinates` and `labels` (B, 3, h, w), `known` (B, h, w). An image without any label has loss 0;
    with `compat` NaN, as in the original.
    """
    distance = torch.where(known, _distance(coordinates, labels), torch.zeros_like(labels[:, 0]))
    count = known.to(distance.dtype).sum((1, 2))
    loss = distance.sum((1, 2)) / (count if compat else count.clamp(min=1))
    return loss, count / known[0].numel()


def _distance(coordinates: Tensor, labels: Tensor) -> Tensor:
    """Euclidean (B, h, w) of two maps (B, 3, h, w)."""
    distance: Tensor = torch.linalg.vector_norm(coordinates - labels, dim=1)
    return distance


def _points_on_rays(pixels: Tensor, camera_matrix: Tensor, depth: float, batch: int, compat: bool) -> Tensor:
    """Points (B, 3, h, w) that `pixels` (2, h, w) or (B, 2, h, w) see at `depth`; with `compat`, z is 1 all
    the same."""
    matrix = camera_matrix.to(pixels.dtype).expand(batch, 3, 3)
    seen = pixels.expand(batch, *pixels.shape[-3:])
    homogeneous = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
    rays = torch.einsum("bij,bjhw->bihw", torch.linalg.inv(matrix), homogeneous) * depth
    if compat:
        rays = torch.cat([rays[:, :2], torch.ones_like(rays[:, 2:])], dim=1)
    return rays
