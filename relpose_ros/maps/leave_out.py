"""A map without some of its references: to edit it, and to test it on what it was built from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.triangulation import Observations, triangulate
from relpose_ros.maps.bundle import Landmarks, Map, ReferenceFeatures
from relpose_ros.maps.landmarks import REPROJECTION_ERROR_PX


def leave_out(map_: Map, removed: Sequence[int]) -> Map:
    """The map as if it had been built without the references `removed` (indices).

    Landmarks that they saw are triangulated again from the others, or dropped when fewer
    than two are left. Descriptors of landmarks keep the share of the removed references.
    """
    gone = np.zeros(len(map_), np.bool_)
    gone[list(removed)] = True
    kept = np.flatnonzero(~gone)
    landmarks, number = _without(map_, gone)
    return replace(
        map_,
        reference_names=tuple(map_.reference_names[i] for i in kept),
        conditions=tuple(map_.conditions[i] for i in kept),
        cameras=tuple(map_.cameras[i] for i in kept),
        reference_poses=map_.reference_poses[kept],
        features=tuple(_renumber(map_.features[i], number) for i in kept.tolist()),
        landmarks=landmarks,
        global_descriptors=map_.global_descriptors[kept],
        twins=_twins_left(map_.twins, gone),
        graph=None if map_.graph is None else map_.graph.of(kept),
    )


def _twins_left(twins: NDArray[np.int32], gone: NDArray[np.bool_]) -> NDArray[np.int32]:
    number = np.cumsum(~gone) - 1
    return np.asarray(number[twins[~gone[twins].any(axis=1)]], np.int32)


def _renumber(features: ReferenceFeatures, number: NDArray[np.int32]) -> ReferenceFeatures:
    seen = features.landmarks >= 0
    landmarks = np.where(seen, number[features.landmarks], -1).astype(np.int32)
    return replace(features, landmarks=landmarks)


def _without(map_: Map, gone: NDArray[np.bool_]) -> tuple[Landmarks, NDArray[np.int32]]:
    """Landmarks left, and old landmark -> new one or -1."""
    touched = np.zeros(len(map_.landmarks), np.bool_)
    for index in np.flatnonzero(gone).tolist():
        touched[map_.visible[index]] = True
    owner = np.repeat(np.arange(len(map_)), [len(v) for v in map_.visible])
    observations = map_.observations
    chosen = touched[observations.track] & ~gone[owner]
    affected = np.flatnonzero(touched)
    position = np.cumsum(touched) - 1
    part = observations[chosen]
    part = Observations(position[part.track], part.rays, part.map_from_camera, part.focal)
    start = map_.landmarks.points[affected]
    points, covariances, _ = triangulate(part, len(affected), REPROJECTION_ERROR_PX, 1, start)
    new_points, new_covariances = map_.landmarks.points.copy(), map_.landmarks.covariances.copy()
    new_points[affected], new_covariances[affected] = points, covariances
    good = np.isfinite(new_points).all(axis=1) & np.isfinite(new_covariances).all(axis=(1, 2))
    number = np.where(good, np.cumsum(good) - 1, -1).astype(np.int32)
    left = Landmarks(new_points[good], new_covariances[good], map_.landmarks.descriptors[good])
    return left, number
