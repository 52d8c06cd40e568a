"""Surface normals as TransPose and CrossLoc predict them: logits of azimuth and elevation.

An angle a in (-pi, pi) is (2 sigmoid(l) - 1) pi of its logit l. Axes are those of the camera, as are the
normals. All maps have their channels in axis 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-7


def angles_of_logits(logits: Tensor) -> Tensor:
    """Logits (B, 2, ...) -> azimuth and elevation (B, 2, ...), radians, just inside (-pi, pi)."""
    return (2 * torch.sigmoid(logits).clamp(EPS, 1 - EPS) - 1) * math.pi


def logits_of_angles(angles: Tensor) -> Tensor:
    """The inverse: for the `mean` of a network whose labels have these mean angles."""
    return torch.logit((angles / math.pi + 1) / 2)


def angles_of_vectors(vectors: Tensor) -> Tensor:
    """Normals (B, 3, ...) -> azimuth atan2(y, x), elevation atan2(z, |(x, y)|): (B, 2, ...), radians."""
    x, y, z = vectors.unbind(1)
    return torch.stack([torch.atan2(y, x), torch.atan2(z, torch.hypot(x, y))], dim=1)


def vectors_of_angles(angles: Tensor) -> Tensor:
    """Azimuth and elevation (B, 2, ...) -> unit normals (B, 3, ...)."""
    azimuth, elevation = angles.unbind(1)
    flat = torch.cos(elevation)
    return torch.stack([flat * torch.cos(azimuth), flat * torch.sin(azimuth), torch.sin(elevation)], dim=1)
