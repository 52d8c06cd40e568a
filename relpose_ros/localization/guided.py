"""Landmarks looked for where a vague pose expects them, instead of everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from relpose_ros.geometry.refinement import reprojection_jacobian
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.graph_matches import LandmarkMatches
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_FACING = 0.0
"""Cosine to the mean direction a landmark was seen from, below which it is not expected to be found."""


@dataclass(frozen=True)
class GuidedOptions:
    """A landmark is looked for within `sigma` standard deviations of where the pose expects it, no nearer
    than `least_px` and no further than `most_angle` (rad); a match is mutual, passes Lowe's `ratio` among
    what lies there, and its descriptors are nearer than `alike`."""

    sigma: float = 3.0
    least_px: float = 12.0
    most_angle: float = 0.25
    ratio: float = 0.9
    alike: float = 0.8


def guided_matches(
    map_: Map,
    query: Query,
    neighbours: Sequence[Neighbour],
    map_from_camera: Rigid,
    covariance: Array,
    options: GuidedOptions,
) -> LandmarkMatches:
    """Features of the query and landmarks that the neighbours see, near where a pose projects them.

    `covariance` (6, 6) of the pose, calibrated.
    """
    landmarks = _expected(map_, neighbours, map_from_camera)
    if not len(landmarks) or not len(query.features):
        return LandmarkMatches(np.zeros(0, np.intp), np.zeros(0, np.int32))
    focal, points = query.camera.focal, map_.landmarks.points[landmarks]
    local = (points - map_from_camera.translation) @ map_from_camera.rotation
    expected = local[:, :2] / local[:, 2:] * focal
    radius = _radius(map_from_camera, points, focal, covariance, options)
    feature, landmark = _near(query.rays * focal, expected, radius)
    ours = query.features.descriptors[feature]
    distance = np.sqrt(
        np.maximum(2 - 2 * (ours * map_.landmarks.descriptors[landmarks[landmark]]).sum(axis=1), 0.0)
    )
    kept = _passing(feature, landmark, distance, options)
    order = np.argsort(feature[kept], kind="stable")
    return LandmarkMatches(feature[kept][order], landmarks[landmark[kept][order]])


def _expected(map_: Map, neighbours: Sequence[Neighbour], pose: Rigid) -> NDArray[np.int32]:
    """Landmarks that the neighbours see, in front of the camera and not from behind."""
    seen = [np.zeros(0, np.int32), *(map_.visible[n.index] for n in neighbours)]
    landmarks = np.unique(np.concatenate(seen))
    towards = pose.translation - map_.landmarks.points[landmarks]
    ahead = -(towards @ pose.rotation[:, 2])
    facing = (towards * map_.seen_from[landmarks]).sum(axis=1)
    # Nearer than a twentieth of the map's depth a projection says nothing under a pose this vague.
    return np.asarray(landmarks[(ahead > 0.05 * map_.depth) & (facing > _FACING)], np.int32)


def _radius(pose: Rigid, points: Array, focal: float, covariance: Array, options: GuidedOptions) -> Array:
    """How far (N,) from its projection each point is looked for, px: the long axis of its ellipse."""
    by_twist, _ = reprojection_jacobian(pose, points, focal)
    spread = by_twist @ covariance @ by_twist.transpose(0, 2, 1)
    sigma = np.sqrt(np.maximum(np.linalg.eigvalsh(spread)[:, -1], 0.0))
    return np.asarray(np.clip(options.sigma * sigma, options.least_px, options.most_angle * focal))


def _near(pixels: Array, expected: Array, radius: Array) -> tuple[Index, Index]:
    """Pairs (feature, landmark) whose pixels (N, 2) and (L, 2) are no further apart than its radius (L,)."""
    found = cKDTree(pixels).query_ball_point(expected, radius, return_sorted=True)
    count = np.array([len(near) for near in found], np.intp)
    feature = np.concatenate([np.asarray(near, np.intp) for near in found])
    return feature, np.repeat(np.arange(len(expected)), count)


def _passing(feature: Index, landmark: Index, distance: Array, options: GuidedOptions) -> Index:
    """Which pairs (M,) are each other's nearest, alike, and nearer than the second by the ratio."""
    order = np.lexsort((landmark, distance, feature))
    first = order[np.unique(feature[order], return_index=True)[1]]
    second = np.full(int(feature.max(initial=-1)) + 1, np.inf)
    rest = np.ones(len(feature), np.bool_)
    rest[first] = False
    np.minimum.at(second, feature[rest], distance[rest])
    order = np.lexsort((feature, distance, landmark))
    mutual = np.intersect1d(first, order[np.unique(landmark[order], return_index=True)[1]])
    good = (distance[mutual] < options.alike) & (distance[mutual] < options.ratio * second[feature[mutual]])
    return np.asarray(mutual[good], np.intp)
