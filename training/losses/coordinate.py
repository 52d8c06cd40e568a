"""The coordinate losses of TransPose and CrossLoc: pixel error, distance to the label or its likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relpose_training.losses.label_term import factor_term, label_term, require_variant, root_floor
from relpose_training.losses.reprojection import (
    cell_mean,
    cell_pixels,
    full_precision,
    reprojection_error,
    root_above,
    to_camera,
)
from relpose_training.losses.uncertainty import FACTOR_ENTRIES


@dataclass(frozen=True)
class CoordinateClamps:
    """When a cell's reprojection error counts."""

    tolerance: float = 50.0  # m, at most this far from the label, where there is one
    min_depth: float = 0.1  # m, in front of the camera
    soft: float = 100.0  # px, above which the error counts by its root
    hard: float = 1000.0  # px, at most


DEFAULT_CLAMPS = CoordinateClamps()


@full_precision
def coordinate_loss(
    coordinates: Tensor,
    labels: Tensor,
    known: Tensor,
    world_from_camera: Tensor,
    camera_matrix: Tensor,
    scale: Tensor | None = None,
    clamps: CoordinateClamps = DEFAULT_CLAMPS,
    variant: str = "crossloc",
    pixels: Tensor | None = None,
    compat: bool = False,
    inside: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss (B,) and share of valid cells (B,) of predicted coordinates (B, 3, h, w).

    e is the pixel error; a cell is valid if Y_z >= min_depth, e <= hard, and it has no label or is at most
    `tolerance` from it. loss = mean over cells of: min(e, sqrt(soft e)) where valid, plus, where there is
    a label: with `scale` (B, 1 or 6, h, w), a deviation or the lower factor of a covariance, the negative
    log-likelihood in 3 dimensions, else |X - X_label|, for "transpose" only in cells that are not valid,
    for "crossloc" in all.

    `labels` (B, 3, h, w) in the world, `known` (B, h, w) which exist; `world_from_camera` (B, 4, 4);
    `camera_matrix` (3, 3) or (B, 3, 3); `pixels` (2, h, w) or (B, 2, h, w), by default 8x + 4;
    `inside` (B, h, w) the cells that count (all if not given). `compat`: with the constants that the
    originals add.
    """
    require_variant(variant)
    if pixels is None:
        pixels = cell_pixels(coordinates.shape[2], coordinates.shape[3], device=coordinates.device)
    points = to_camera(coordinates, world_from_camera)
    error = reprojection_error(points, camera_matrix, pixels, clamps.min_depth)
    squared = (coordinates - labels).square().sum(1)
    near = ~known | (squared <= clamps.tolerance**2)
    valid = (points[:, 2] >= clamps.min_depth) & (error <= clamps.hard) & near
    error = torch.where(valid, error, torch.zeros_like(error))
    loss = root_above(error, clamps.soft)
    if compat:
        loss = loss + root_floor(variant, clamps.soft) * (error <= clamps.soft)
    labelled = known & ~valid if scale is None and variant == "transpose" else known
    if scale is not None and scale.shape[1] == FACTOR_ENTRIES:
        term = factor_term(coordinates - labels, labelled, scale)
    else:
        term = label_term(squared, labelled, scale, dimension=3, compat=compat)
    return cell_mean(loss + term, inside), cell_mean(valid.to(loss.dtype), inside)
