"""The surface-normal losses of TransPose and CrossLoc."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from relpose_ros.networks.scene_coordinates.normals import (
    angles_of_logits,
    angles_of_vectors,
    vectors_of_angles,
)
from relpose_training.losses.label_term import label_term, require_variant, root_floor
from relpose_training.losses.reprojection import full_precision, root_above


@dataclass(frozen=True)
class NormalClamps:
    """When a cell's normal counts as valid, degrees."""

    soft: float = 5.0  # above which the error counts by its root ("transpose")
    hard: float = 10.0


DEFAULT_CLAMPS = NormalClamps()


def angular_error(angles: Tensor, target: Tensor) -> Tensor:
    """2 min(|a|, 2 pi - |a|) + |e| of the differences a in azimuth and e in elevation: (B, h, w), radians."""
    azimuth, elevation = (angles - target).abs().unbind(1)
    return 2 * torch.minimum(azimuth, 2 * math.pi - azimuth) + elevation


def angle_between(vectors: Tensor, others: Tensor) -> Tensor:
    """Angles (B, h, w) in degrees of vectors (B, 3, h, w); atan2, which keeps its digits near 0."""
    cross = torch.linalg.vector_norm(torch.linalg.cross(vectors, others, dim=1), dim=1)
    return torch.rad2deg(torch.atan2(cross, (vectors * others).sum(1)))


@full_precision
def normal_loss(
    logits: Tensor,
    labels: Tensor,
    known: Tensor,
    scale: Tensor | None = None,
    clamps: NormalClamps = DEFAULT_CLAMPS,
    variant: str = "crossloc",
    compat: bool = False,
) -> tuple[Tensor, Tensor]:
    """Loss (B,) and share of valid cells (B,) of predicted normals: logits (B, 2, h, w), see `normals.py`.

    e is `angular_error`; a cell is valid if it has a label and the true angle is at most `hard`.
    "crossloc": the mean over cells of e, or with `scale` (B, 1, h, w) of the negative log-likelihood in 2
    dimensions, where there is a label. "transpose": min(e, sqrt(soft e)) where valid, plus e where not, or
    plus the likelihood.

    `labels` (B, 3, h, w) in the camera's frame, `known` (B, h, w). `compat`: TransPose's likelihood has
    dimension 3, its constants are added, and its soft clamp compares the true angle in degrees but takes
    the root in radians.
    """
    require_variant(variant)
    # A label that does not exist has no direction, and atan2 no gradient, at (0, 0).
    target = torch.where(known[:, None], labels, torch.ones_like(labels))
    angles = angles_of_logits(logits)
    error = angular_error(angles, angles_of_vectors(target))
    degrees = angle_between(vectors_of_angles(angles.detach()), target)
    valid = known & (degrees <= clamps.hard)
    dimension = 3 if compat and variant == "transpose" else 2
    labelled = known & ~valid if scale is None and variant == "transpose" else known
    loss = label_term(error.square(), labelled, scale, dimension, compat)
    if variant == "transpose":
        loss = loss + _clamped(error, degrees, valid, clamps.soft, compat)
    return loss.mean((1, 2)), valid.to(loss.dtype).mean((1, 2))


def _clamped(error: Tensor, degrees: Tensor, valid: Tensor, soft: float, compat: bool) -> Tensor:
    """The error (B, h, w) of valid cells under the soft clamp, `soft` in degrees."""
    kept = torch.where(valid, error, torch.zeros_like(error))
    if not compat:
        return root_above(kept, math.radians(soft))
    large = valid & (degrees > soft)
    root = (soft * torch.where(large, kept, torch.ones_like(kept))).sqrt()
    return torch.where(large, root, kept + root_floor("transpose", soft))
