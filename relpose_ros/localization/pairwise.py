"""Query and one reference -> their relative pose, in metres where landmarks give the scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.graph_matching import PairMatcher
from relpose_ros.features.matching import nearest_neighbours
from relpose_ros.features.pruning import Judge
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.covariance import residual_covariance, rotate_covariance
from relpose_ros.geometry.refinement import Correspondences, linearize, refine_pose
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions, relative_pose, shared_focal
from relpose_ros.localization.graph_matches import to_reference
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map, ReferenceFeatures

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RelativeOptions:
    """`neighbours` tried; `ratio` of Lowe; `max_error_px` of the epipolar RANSAC; `min_inliers`
    of one pair; `min_scale_landmarks`: inliers on landmarks that a metric scale takes."""

    neighbours: int = 5
    ratio: float = 0.85
    max_error_px: float = 1.5
    min_inliers: int = 18
    min_scale_landmarks: int = 8


@dataclass(frozen=True)
class RelativePose:
    """Where the query camera is in the axes of one reference camera.

    `covariance` (6, 6) in ROS order, in the reference camera's axes, not calibrated. Without
    `scale_known` the translation is a direction of length 1, and its covariance says so by a
    variance of 1 along it. `matches`: before a pruner or a matcher's own pose took any out. `query_rays` and
    `reference_rays` (inliers, 2) on z = 1.
    """

    reference: str
    index: int
    reference_from_camera: Rigid
    covariance: Array
    inliers: int
    matches: int
    scale_known: bool
    query_rays: Array
    reference_rays: Array


def estimate_relative_pose(
    map_: Map,
    query: Query,
    neighbour: Neighbour,
    options: RelativeOptions,
    pruner: Judge | None = None,
    matcher: PairMatcher | None = None,
) -> RelativePose | None:
    """By the essential matrix of matched features; None when too few of them agree.

    With a `matcher` its matches take the place of nearest neighbours; a pruner has no say in them.
    """
    stored = map_.features[neighbour.index]
    camera = map_.cameras[neighbour.index]
    ransac = RansacOptions(options.max_error_px, 50, 1000, query.seed)
    if matcher is not None:
        found = to_reference(map_, query, neighbour, matcher, ransac)
        pairs, matches = found.pairs, found.matches
    else:
        pairs, matches = _matched(query, stored, camera, options, pruner)
    if len(pairs) < options.min_inliers:
        return None
    query_rays = query.rays[pairs[:, 0]]
    reference_rays = camera.rays(stored.keypoints[pairs[:, 1]])
    focal = shared_focal(query.camera, camera)
    robust = relative_pose(query_rays, reference_rays, focal, ransac)
    if robust is None:
        return None
    inlier = robust.inliers & _same_side(robust.pose, query_rays, reference_rays)
    if inlier.sum() < options.min_inliers:
        return None
    landmark = stored.landmarks[pairs[inlier, 1]]
    pose, covariance, metric = _scaled(
        map_, query, neighbour, robust.pose, landmark, query_rays[inlier], options
    )
    return RelativePose(
        neighbour.name,
        neighbour.index,
        pose,
        covariance,
        int(inlier.sum()),
        matches,
        metric,
        query_rays[inlier],
        reference_rays[inlier],
    )


def _matched(
    query: Query, stored: ReferenceFeatures, camera: Camera, options: RelativeOptions, pruner: Judge | None
) -> tuple[NDArray[np.intp], int]:
    """Pairs (M, 2) of query features and stored ones, and how many there were before pruning."""
    nearest = nearest_neighbours(query.features.descriptors, stored.descriptors)
    kept = nearest.passing(options.ratio)
    count = len(kept)
    if pruner is not None and count >= options.min_inliers:
        points = np.hstack([query.rays, camera.rays(stored.keypoints[nearest.index])])
        kept = kept[pruner.judge(points, nearest.ratio, nearest.mutual).keep[kept]]
    return np.stack([kept, nearest.index[kept]], axis=1), count


def _same_side(reference_from_camera: Rigid, query_rays: Array, reference_rays: Array) -> NDArray[np.bool_]:
    """Which ray pairs (N, 2), (N, 2) look at a thing from one side: nobody sees a wall from its back."""
    ours = (
        np.concatenate([query_rays, np.ones((len(query_rays), 1))], axis=1) @ reference_from_camera.rotation.T
    )
    return np.asarray((ours[:, :2] * reference_rays).sum(axis=1) + ours[:, 2] > 0)


def _scaled(
    map_: Map,
    query: Query,
    neighbour: Neighbour,
    direction: Rigid,
    landmark: NDArray[np.integer],
    query_rays: Array,
    options: RelativeOptions,
) -> tuple[Rigid, Array, bool]:
    """The relative pose with the scale of the landmarks, if enough of them agree on one."""
    seen = landmark >= 0
    unscaled = np.diag([0.05**2] * 3 + [0.01**2] * 3)
    unscaled[:3, :3] += np.outer(direction.translation, direction.translation)
    if seen.sum() < options.min_scale_landmarks:
        return direction, unscaled, False
    known = Correspondences(
        query_rays[seen],
        map_.landmarks.points[landmark[seen]],
        map_.landmarks.covariances[landmark[seen]],
        query.camera.focal,
    )
    start = neighbour.map_from_camera @ _with_scale(direction, neighbour.map_from_camera, known)
    pose, line, weight = refine_pose(start, known)
    good = line.squared < 16.0
    if good.sum() < options.min_scale_landmarks:
        return direction, unscaled, False
    reference_from_map = neighbour.map_from_camera.inverse()
    covariance = residual_covariance(linearize(pose, known[good]), weight[good])
    return reference_from_map @ pose, rotate_covariance(covariance, reference_from_map), True


def _with_scale(direction: Rigid, map_from_reference: Rigid, known: Correspondences) -> Rigid:
    """Length of the translation from landmarks: the median over their rays (see docs)."""
    in_reference = map_from_reference.inverse().apply(known.points)
    rays = np.concatenate([known.rays, np.ones((len(known), 1))], axis=1)
    left = np.cross(rays, in_reference @ direction.rotation)
    right = np.cross(rays, np.broadcast_to(direction.rotation.T @ direction.translation, rays.shape))
    squared = np.maximum((right**2).sum(axis=1), 1e-12)
    scale = float(np.median((left * right).sum(axis=1) / squared))
    return Rigid(direction.rotation, direction.translation * scale)
