"""The losses of KFNet (Zhou et al., CVPR 2020): likelihood, reprojection as rays, smoothness."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from relpose_training.losses.reprojection import full_precision, to_camera
from relpose_training.losses.uncertainty import FACTOR_ENTRIES, factored_nll

MIN_SCALE = 1e-5
MAIN_LIMIT = -2.0
ACCURATE = 0.05  # m
SHARPNESS = 0.02  # a unit of image Laplacian, of values in 0..255


@full_precision
def filtered_coordinate_loss(
    coordinates: Tensor,
    scale: Tensor,
    labels: Tensor,
    known: Tensor,
    limit: float | None = None,
    compat: bool = False,
) -> Tensor:
    """Mean over known cells of 3 ln s + |X - X_label|^2 / (2 s^2): a scalar.

    `coordinates`, `labels` (B, 3, h, w); `scale` s (B, 1, h, w), counted as 1e-5 m at least, or the lower
    factor of a covariance (B, 6, h, w), whose likelihood it then is (`factored_nll`); `known` (B, h, w). A
    cell's loss is at most `limit`: KFNet's main branch has -2, so that cells worse than that, all of them at
    the start, have no gradient; its branch SCoordNet has none. `compat`: the divisor is one too large.
    """
    if scale.shape[1] == FACTOR_ENTRIES:
        loss = factored_nll(torch.where(known[:, None], coordinates - labels, 0), scale)
    else:
        squared = (coordinates - labels).square().sum(1)
        floored = scale[:, 0].clamp(min=MIN_SCALE)
        loss = 3 * floored.log() + squared / (2 * floored**2)
    return masked_mean(loss.clamp(max=limit) if limit is not None else loss, known, extra=int(compat))


@full_precision
def squared_coordinate_loss(
    coordinates: Tensor, labels: Tensor, known: Tensor, compat: bool = False
) -> Tensor:
    """Mean over known cells of |X - X_label|^2, as `filtered_coordinate_loss` takes them: a scalar."""
    return masked_mean((coordinates - labels).square().sum(1), known, extra=int(compat))


@full_precision
def accurate_share(coordinates: Tensor, labels: Tensor, known: Tensor, compat: bool = False) -> Tensor:
    """Share of known cells whose coordinates are within 5 cm: a scalar. `compat`: one more cell, accurate."""
    near = (coordinates - labels).square().sum(1) < ACCURATE**2
    one = int(compat)
    return ((near & known).sum() + one) / (known.sum() + one).clamp(min=1)


@full_precision
def ray_loss(
    coordinates: Tensor, world_from_camera: Tensor, rays: Tensor, known: Tensor, compat: bool = False
) -> Tensor:
    """Mean over known cells of the squared distance of two unit vectors: to the point, and of the pixel.

    `coordinates` (B, 3, h, w); `world_from_camera` (B, 4, 4); `rays` (B, 2, h, w) the pixels' x/z and y/z;
    `known` (B, h, w). Unlike a distance in pixels it is bounded, and defined behind the camera.
    `compat`: the divisor is two too large.
    """
    points = functional.normalize(to_camera(coordinates, world_from_camera), dim=1)
    directions = functional.normalize(torch.cat([rays, torch.ones_like(rays[:, :1])], dim=1), dim=1)
    return masked_mean((points - directions).square().sum(1), known, extra=2 * int(compat))


@full_precision
def smoothness_loss(
    coordinates: Tensor, world_from_camera: Tensor, image: Tensor, known: Tensor, compat: bool = False
) -> Tensor:
    """Mean over cells of |Laplacian of the camera-frame points|_1 / 3, less where the image has edges.

    The weight is exp(-0.02 |Laplacian of the image|_1); Laplacians are of the 3x3 neighbourhood, all of
    whose cells must be known. `image` (B, 3, h, w), RGB in 0..255, of the map's size; others as `ray_loss`.
    `compat`: unknown cells count in the sum, and all known ones, border too, plus one, in the divisor.
    """
    curvature = _laplacian(to_camera(coordinates, world_from_camera)).abs().mean(1)
    weight = torch.exp(-SHARPNESS * _laplacian(image).abs().sum(1))
    if compat:
        return (curvature * weight).sum() / (known.sum() + 1)
    unknown = (~known[:, None]).to(curvature.dtype)
    surrounded = functional.max_pool2d(unknown, 3, stride=1)[:, 0] == 0
    return masked_mean(curvature * weight, surrounded)


def masked_mean(values: Tensor, mask: Tensor, extra: int = 0) -> Tensor:
    """Mean of `values` where `mask` of the same shape is True; 0 if nowhere. `extra` adds to the divisor."""
    total = torch.where(mask, values, torch.zeros_like(values)).sum()
    return total / (mask.sum() + extra).clamp(min=1)


def _laplacian(maps: Tensor) -> Tensor:
    """8 times the value less its eight neighbours': (B, C, h, w) -> (B, C, h - 2, w - 2)."""
    return 9 * (maps[:, :, 1:-1, 1:-1] - functional.avg_pool2d(maps, 3, stride=1))
