"""What the losses of scene-coordinate maps share: cells and pixels, camera frame, pixel errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")

TINY = 1e-7
"""The floor that TransPose and CrossLoc put under errors and variances."""


def full_precision(loss: Callable[P, T]) -> Callable[P, T]:
    """Compute `loss` in float32 at least, also under autocast: metres and pixels need more than 8 bits."""

    def widen(value: object) -> object:
        if isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16):
            return value.float()
        return value

    @functools.wraps(loss)
    def wide(*args: P.args, **kwargs: P.kwargs) -> T:
        device = next((a.device.type for a in args if isinstance(a, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            call: Callable[..., T] = loss
            return call(*map(widen, args), **{k: widen(v) for k, v in kwargs.items()})

    return wide


def cell_pixels(
    height: int, width: int, stride: int = 8, offset: float = 4.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Pixels (2, height, width), x then y, that cells predict: (stride x + offset, stride y + offset).

    4 is where labels are sampled, `label[4::8, 4::8]`.
    """
    x = stride * torch.arange(width, device=device, dtype=torch.float32) + offset
    y = stride * torch.arange(height, device=device, dtype=torch.float32) + offset
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


def to_camera(points: Tensor, world_from_camera: Tensor) -> Tensor:
    """Points (B, 3, h, w) of the world -> of the camera, with poses (B, 4, 4) (or (B, 3, 4))."""
    centred = points - world_from_camera[:, :3, 3, None, None].to(points)
    turned: Tensor = torch.einsum("bji,bjhw->bihw", world_from_camera[:, :3, :3].to(points), centred)
    return turned


def reprojection_error(points: Tensor, camera_matrix: Tensor, pixels: Tensor, min_depth: float) -> Tensor:
    """Distances (B, h, w) in pixels of camera-frame points (B, 3, h, w), projected, to `pixels` (2, h, w).

    `pixels` may be (B, 2, h, w): another camera's, a lens taken out, for each image.
    `camera_matrix` is (3, 3) or (B, 3, 3), any focal lengths and principal point. What is divided by
    is `min_depth` (m) at least; such errors are finite but mean nothing.
    """
    matrix = camera_matrix.to(points.dtype).expand(len(points), 3, 3)
    homogeneous = torch.einsum("bij,bjhw->bihw", matrix, points)
    projected = homogeneous[:, :2] / homogeneous[:, 2:].clamp(min=min_depth)
    distance: Tensor = torch.linalg.vector_norm(projected - pixels.to(points), dim=1)
    return distance


def cell_mean(values: Tensor, inside: Tensor | None) -> Tensor:
    """Mean (B,) over the cells of `values` (B, h, w): all of them, or those `inside` (B, h, w); 0 of none."""
    if inside is None:
        return values.mean((1, 2))
    total = torch.where(inside, values, torch.zeros_like(values)).sum((1, 2))
    return total / inside.sum((1, 2)).clamp(min=1)


def root_above(error: Tensor, soft: float) -> Tensor:
    """`error` up to `soft`, sqrt(soft * error) above: a gradient that fades with the error."""
    large = error > soft
    return torch.where(large, (soft * torch.where(large, error, soft)).sqrt(), error)


def known_labels(labels: Tensor, nodata: float) -> Tensor:
    """Mask (B, h, w) of cells whose label (B, C, h, w) is not `nodata` in all channels.

    `nodata` is 0 for DSAC*'s scenes and -1 for TransPose's and CrossLoc's.
    """
    return ~(labels == nodata).all(dim=1)
