"""Unit quaternions x, y, z, w as tensors, with gradients that are finite everywhere that losses go."""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-12
"""Squared norms below this take the series' first term: sqrt has no gradient at 0."""


def quaternion_of_rotation_vector(vector: Tensor) -> Tensor:
    """Rotation vectors (..., 3), radians -> unit quaternions (..., 4)."""
    squared = vector.square().sum(dim=-1, keepdim=True)
    small = squared < _SMALL
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    half_sinc = torch.where(small, 0.5 - squared / 48, torch.sin(angle / 2) / angle)
    cosine = torch.where(small, 1 - squared / 8, torch.cos(angle / 2))
    return torch.cat([half_sinc * vector, cosine], dim=-1)


def conjugate(quaternion: Tensor) -> Tensor:
    """The inverse of unit quaternions (..., 4)."""
    return torch.cat([-quaternion[..., :3], quaternion[..., 3:]], dim=-1)


def multiply(first: Tensor, second: Tensor) -> Tensor:
    """Hamilton product (..., 4) of (..., 4) and (..., 4): the rotation `second`, then `first`."""
    a, b = first[..., :3], second[..., :3]
    v, w = first[..., 3:], second[..., 3:]
    vector = v * b + w * a + torch.linalg.cross(a, b)
    return torch.cat([vector, v * w - (a * b).sum(dim=-1, keepdim=True)], dim=-1)


def rotation_vector_of_quaternion(quaternion: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of either sign -> rotation vectors (..., 3) of at most half a turn."""
    q = torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    squared = q[..., :3].square().sum(dim=-1, keepdim=True)
    small = squared < _SMALL
    norm = torch.where(small, torch.ones_like(squared), squared).sqrt()
    factor = torch.where(small, torch.full_like(squared, 2.0), 2 * torch.atan2(norm, q[..., 3:]) / norm)
    return factor * q[..., :3]
