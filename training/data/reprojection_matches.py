"""True matches of two images' keypoints, from the depth at the keypoints and the cameras' poses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class PosedKeypoints:
    """Keypoints of one image: `keypoints` (N, 2) pixels, `depth` (N,) along the optical axis (not above 0:
    unknown), `matrix` (3, 3) intrinsics that fit these pixels."""

    keypoints: NDArray[np.floating]
    depth: NDArray[np.floating]
    matrix: Array
    camera_from_world: Rigid


@dataclass(frozen=True)
class ReprojectionOptions:
    """Pixels. `inlier_px`: furthest that a match lands from its partner, both ways; `outlier_px`: nearest
    that a keypoint without partner lands from any; `depth_share`: furthest that the depths of a match differ,
    as a part of them; `compat`: as published, of several claims to one keypoint the first is a match, not
    the nearest, and depths are not compared. Raises ConfigurationError for bounds the wrong way round."""

    inlier_px: float = 5.0
    outlier_px: float = 15.0
    depth_share: float = 0.1
    compat: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.inlier_px < self.outlier_px or self.depth_share <= 0:
            raise ConfigurationError(
                f"expected 0 < inlier_px < outlier_px and a positive depth_share, got {self}"
            )


class ReprojectionMatches(NamedTuple):
    """`inliers` (M, 2): index in the first image, in the second, sorted by the first; `outliers` (K, 2):
    keypoints of the first that certainly have no partner, each with the nearest of the second."""

    inliers: Index
    outliers: Index


def reprojection_matches(
    first: PosedKeypoints, second: PosedKeypoints, options: ReprojectionOptions | None = None
) -> ReprojectionMatches:
    """Which keypoints show the same point, and which of the first have no partner (specs/imp.md 2.1).

    A keypoint with depth lands in the second image; its partner is the nearest keypoint there if within
    `inlier_px`, if the partner, with its own depth, lands within `inlier_px` of it, and if both agree about
    how far away it is: what one hides from the other is no match. Of pairs that share
    a keypoint one is kept. Neither a match nor an outlier: keypoints without depth, and between the bounds.
    """
    from scipy.spatial import cKDTree

    options = options or ReprojectionOptions()
    known = np.flatnonzero((first.depth > 0) & np.isfinite(first.depth))
    nothing = np.zeros((0, 2), np.int64)
    if not len(known) or not len(second.keypoints):
        return ReprojectionMatches(nothing, nothing)
    landed, depth = (values[known] for values in _land(first, second))
    distance, nearest = cKDTree(second.keypoints).query(landed)
    back = np.linalg.norm(_land(second, first)[0][nearest] - first.keypoints[known], axis=1)
    closed = (second.depth[nearest] > 0) & (back <= options.inlier_px)
    pairs = np.stack([known, nearest], axis=1).astype(np.int64)
    good = np.flatnonzero((distance <= options.inlier_px) & closed)
    if not options.compat:
        there = np.asarray(second.depth, float)[nearest[good]]
        good = good[np.abs(depth[good] - there) <= options.depth_share * there]
        good = good[np.argsort(distance[good], kind="stable")]
    return ReprojectionMatches(_one_to_one(pairs[good]), pairs[distance >= options.outlier_px])


def certainly_unmatched(
    first: PosedKeypoints, second: PosedKeypoints, options: ReprojectionOptions | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which keypoints of each image, (N0,) and (N1,), certainly have no partner in the other."""
    masks = []
    for a, b in ((first, second), (second, first)):
        mask = np.zeros(len(a.keypoints), np.bool_)
        mask[reprojection_matches(a, b, options).outliers[:, 0]] = True
        masks.append(mask)
    return masks[0], masks[1]


def depth_at(depth: NDArray[np.floating], keypoints: NDArray[np.floating], compat: bool = False) -> Array:
    """Depth (N,) of a depth map (H, W) at the pixel nearest to each keypoint (N, 2); 0 outside.

    `compat` cuts coordinates off instead of rounding them, as published: up to a pixel off.
    """
    columns, rows = np.asarray(keypoints if compat else np.rint(keypoints)).astype(np.int64).T
    height, width = depth.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    found = np.zeros(len(keypoints))
    found[inside] = depth[rows[inside], columns[inside]]
    return found


def _land(source: PosedKeypoints, target: PosedKeypoints) -> tuple[Array, Array]:
    """Pixels (N, 2) of the target image on which the source's keypoints land, far off from behind it, and
    how far they are from there (N,) along its axis."""
    homogeneous = np.concatenate([source.keypoints, np.ones((len(source.keypoints), 1))], axis=1)
    target_from_source = target.camera_from_world @ source.camera_from_world.inverse()
    with np.errstate(invalid="ignore", over="ignore"):  # unknown depths
        local = homogeneous @ np.linalg.inv(source.matrix).T * np.asarray(source.depth, float)[:, None]
        moved = target_from_source.apply(local)
        projected = moved @ target.matrix.T
        landed = projected[:, :2] / (projected[:, 2:] + 1e-5)  # as published
    landed[~(moved[:, 2] > 0)] = 1e9
    return np.asarray(landed), np.asarray(moved[:, 2])


def _one_to_one(pairs: Index) -> Index:
    """Of pairs (M, 2) that share a keypoint the earlier one; sorted by the first keypoint."""
    used0: set[int] = set()
    used1: set[int] = set()
    kept = []
    for i, (a, b) in enumerate(pairs.tolist()):
        if a not in used0 and b not in used1:
            used0.add(a)
            used1.add(b)
            kept.append(i)
    chosen = pairs[kept]
    return chosen[np.argsort(chosen[:, 0], kind="stable")]
