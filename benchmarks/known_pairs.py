"""Pairs of images whose poses are known, and which matches between them are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.geometry.epipolar import essential_matrix, sampson_distance
from relpose_ros.geometry.rigid import Rigid

Pixels = NDArray[np.floating]
Mask = NDArray[np.bool_]

RIGHT_PX = 3.0
"""A match is right when it lies within so many pixels of where depth and poses put it."""

EPIPOLAR_PX = 1.0
"""Without depth: within so many of the epipolar line, which wrong matches meet by chance now and then."""

RANKS = (1, 3, 6)
"""Each reference is paired with its nearest, third and sixth nearest in pose."""

MAX_ANGLE = np.deg2rad(40.0)


@dataclass(frozen=True)
class KnownPair:
    """Two images. `judge(first, second)` says of matched pixels (M, 2), (M, 2) which are right (M,)."""

    first: PosedImage
    second: PosedImage
    judge: Callable[[Pixels, Pixels], Mask]


def known_pairs(source: Source, count: int) -> list[KnownPair]:
    """At most `count` pairs of references, evenly drawn; depth decides what is right where there is some."""
    images = source.references
    pairs = _neighbours(images)
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int))
    return [_known(images[pairs[i][0]], images[pairs[i][1]]) for i in chosen]


def _neighbours(images: Sequence[PosedImage]) -> list[tuple[int, int]]:
    poses = Rigid.stack([i.map_from_camera for i in images if i.map_from_camera is not None])
    forward = poses.rotation[:, :, 2]
    pairs = []
    for i in range(len(images)):
        distance = np.linalg.norm(poses.translation - poses.translation[i], axis=1)
        angle = np.arccos(np.clip(forward @ forward[i], -1, 1))
        distance[angle > MAX_ANGLE] = np.inf
        ranking = np.argsort(distance, kind="stable")
        near = [int(ranking[rank]) for rank in RANKS if rank < len(images)]
        pairs += [(i, j) for j in near if np.isfinite(distance[j]) and j != i]
    return pairs


def _known(first: PosedImage, second: PosedImage) -> KnownPair:
    judge = _by_epipolar_line(first, second) if first.load_depth is None else _by_depth(first, second)
    return KnownPair(first, second, judge)


def _relative(first: PosedImage, second: PosedImage) -> Rigid:
    assert first.map_from_camera is not None
    assert second.map_from_camera is not None
    return second.map_from_camera.inverse() @ first.map_from_camera


def _by_depth(first: PosedImage, second: PosedImage) -> Callable[[Pixels, Pixels], Mask]:
    assert first.load_depth is not None
    depth, second_from_first = first.load_depth(), _relative(first, second)

    def judge(pixels: Pixels, matched: Pixels) -> Mask:
        column, row = np.rint(pixels).astype(int).T
        z = depth[np.clip(row, 0, depth.shape[0] - 1), np.clip(column, 0, depth.shape[1] - 1)]
        rays = first.camera.rays(pixels)
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * z[:, None]
        error = second.camera.project(second_from_first.apply(points)) - matched
        return np.asarray((z > 0) & (np.linalg.norm(error, axis=1) < RIGHT_PX))

    return judge


def _by_epipolar_line(first: PosedImage, second: PosedImage) -> Callable[[Pixels, Pixels], Mask]:
    matrix = essential_matrix(_relative(first, second))
    focal = 0.5 * (first.camera.focal + second.camera.focal)

    def judge(pixels: Pixels, matched: Pixels) -> Mask:
        distance = sampson_distance(matrix, first.camera.rays(pixels), second.camera.rays(matched))
        return np.asarray(distance * focal < EPIPOLAR_PX)

    return judge
