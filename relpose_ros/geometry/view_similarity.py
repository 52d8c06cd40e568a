"""How much two views have in common: overlap of what they see, and a distance that mixes in their poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_DEPTH = 0.1
"""Nearer points, metres, are not counted as seen."""


def seen_points(local: Array, camera: Camera, min_depth: float = MIN_DEPTH) -> Mask:
    """Which of the points (N, 3) in camera axes lie in the image, at least `min_depth` ahead. No
    occlusion."""
    return np.asarray(camera.contains(camera.project(local)) & (local[:, 2] > min_depth))


def overlap_table(points: Array, known: Mask, map_from_camera: Rigid, camera: Camera) -> Array:
    """Share (V, V) of the cells of view i that view j sees too: row i, column j; not symmetric.

    `points` (V, N, 3) of the cells of each view, in the map, where `known` (V, N); cells that are not count
    as not seen. The measure of TransPose (geo-distance).
    """
    inverse = map_from_camera.inverse()
    table = np.zeros((len(points), len(points)))
    for i, cells in enumerate(points):
        for j in range(len(points)):
            table[i, j] = (seen_points(inverse[j].apply(cells), camera) & known[i]).mean()
    return table


def frustum_overlap(
    depth: NDArray[np.floating],
    camera: Camera,
    other: Camera,
    other_from_camera: Rigid,
    step: int = 10,
    cheirality: bool = True,
) -> float:
    """Share of a depth image (H, W) of `camera`, metres, 0 where unknown, whose points the `other` camera
    sees.

    Every `step`-th pixel of every `step`-th row is looked at, occlusion is not. CamNet (Ding et al., ICCV
    2019), which counts points behind the other camera as well: `cheirality=False`. NaN when no depth is
    known.
    """
    y, x = np.mgrid[: depth.shape[0] : step, : depth.shape[1] : step]
    metres = depth[::step, ::step].ravel()
    known = metres > 0
    if not known.any():
        return float("nan")
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1)[known])
    points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * metres[known, None]
    local = other_from_camera.apply(points)
    if cheirality:
        return float(seen_points(local, other, 0.0).mean())
    mirrored = local * np.where(local[:, 2:] < 0, -1, 1)  # projects to the same pixel
    return float(seen_points(mirrored, other, 0.0).mean())


@dataclass(frozen=True)
class DistanceWeights:
    """Of a geometric distance: overlap, rotation, translation; rotations saturate at `widest` radians."""

    overlap: float = 0.5
    rotation: float = 0.5
    translation: float = 0.0
    widest: float = np.pi / 2

    def __post_init__(self) -> None:
        if min(self.overlap, self.rotation, self.translation) < 0 or self.total <= 0 or self.widest <= 0:
            raise ConfigurationError(
                f"expected weights >= 0, one of them positive, and widest > 0, got {self}"
            )

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return self.overlap + self.rotation + self.translation


def geometric_distance(
    overlap: Array, map_from_camera: Rigid, weights: DistanceWeights | None = None, compat: bool = False
) -> Array:
    """Symmetric distances (V, V), 0 to 100, of views with this `overlap_table` (V, V).

    100 [w_o (1 - mean of both overlaps) + w_r rot + w_t trans] / sum w; rot and trans are divided by their
    largest. TransPose, which is never nearer than 0.0014 rad to itself: `compat`.
    """
    weights = weights or DistanceWeights()
    angle = rotation_angles(map_from_camera.rotation)
    if compat:
        angle = np.clip(angle, np.arccos(0.999999), np.arccos(-0.999999))
    turned = np.minimum(angle, weights.widest)
    position = map_from_camera.translation
    apart = np.linalg.norm(position[:, None] - position, axis=2)
    terms = weights.overlap * (1 - (overlap + overlap.T) / 2)
    terms += weights.rotation * turned / max(float(turned.max()), 1e-12)
    terms += weights.translation * apart / max(float(apart.max()), 1e-12)
    return np.asarray(100 * terms / weights.total)


def rotation_angles(rotation: Array) -> Array:
    """Angles (V, V), radians, between all pairs of rotations (V, 3, 3)."""
    chord = np.linalg.norm(rotation[:, None] - rotation, axis=(2, 3))  # 2 sqrt(2) sin(angle / 2)
    return np.asarray(2 * np.arcsin(np.minimum(chord / np.sqrt(8), 1)))
