"""Findings about numbers: poses, landmarks, cameras, units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.triangulation import reprojection
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.finding import Finding, Grade, listed
from relpose_ros.maps.landmarks import REPROJECTION_ERROR_PX

PLAUSIBLE_DEPTH_M = (0.05, 2000.0)
"""Median distance from a camera to what it sees."""

FAR_AWAY = 100.0
"""A reference that is so many times the map's depth and size away from all others was not posed right."""

MIN_FIELD_DEG, MAX_PINHOLE_DEG = 20.0, 125.0
MAX_ASPECT = 1.1
CENTRE = 0.25
"""The principal point of a real camera is no further than this share of the image from its middle."""

LAST_SIGHTINGS = 0.05
"""Of a map's sightings so many may be off by more than a landmark may be when it is made."""


def numbers(map_: Map) -> list[Finding]:
    """What is not finite."""
    columns: dict[str, list[NDArray[Any]]] = {
        "poses": [map_.reference_poses.translation, map_.reference_poses.rotation.reshape(len(map_), 9)],
        "global descriptors": [map_.global_descriptors],
        "landmarks": [map_.landmarks.points],
        "covariances of landmarks": [np.asarray(map_.landmarks.covariances).reshape(len(map_.landmarks), 9)],
    }
    found = []
    for name, arrays in columns.items():
        bad = ~np.isfinite(np.concatenate(arrays, axis=1)).all(axis=1)
        if bad.any():
            owners = _names(map_, bad) if len(bad) == len(map_) and "landmarks" not in name else ()
            where = f" of {listed(owners)}" if owners else ""
            what = f"{bad.sum()} {name}{where} are not finite"
            found.append(Finding(Grade.PROBLEM, what, "build the map again from finite poses", owners))
    return found


def findings(map_: Map) -> list[Finding]:
    """Everything that numbers alone tell."""
    return [*_units(map_), *_poses(map_), *_cameras(map_), *_keypoints(map_), *_sightings(map_)]


def _units(map_: Map) -> list[Finding]:
    if not map_.metric:
        what = "the unit is not the metre: poses and covariances have an arbitrary scale"
        return [Finding(Grade.NOTE, what, "a robot needs metres: build it from poses that are metric")]
    low, high = PLAUSIBLE_DEPTH_M
    if not len(map_.landmarks) or low <= map_.depth <= high:
        return []
    what = f"cameras are said to be {map_.depth:.3g} m away from what they see (median)"
    return [Finding(Grade.PROBLEM, what, "are the poses in millimetres, or of an arbitrary scale?")]


def _poses(map_: Map) -> list[Finding]:
    from scipy.spatial import cKDTree

    found, poses = [], map_.reference_poses
    turned = np.abs(poses.rotation @ poses.rotation.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2)) > 1e-6
    turned |= np.linalg.det(poses.rotation) < 0
    if turned.any():
        what = f"the rotations of {listed(_names(map_, turned))} are none"
        found.append(Finding(Grade.PROBLEM, what, "build the map again", _names(map_, turned)))
    nearest = cKDTree(poses.translation).query(poses.translation, k=2)[0][:, 1]
    size = np.linalg.norm(np.percentile(poses.translation, 75, axis=0) - np.median(poses.translation, axis=0))
    stray = nearest > FAR_AWAY * max(map_.depth, float(size), 1e-9)
    if stray.any():
        names = _names(map_, stray)
        what = f"{listed(names)} lie far away from all other references"
        found.append(Finding(Grade.PROBLEM, what, "their poses are wrong: `relpose map remove` them", names))
    return found


def _cameras(map_: Map) -> list[Finding]:
    odd: dict[str, list[str]] = {}
    for name, camera in zip(map_.reference_names, map_.cameras, strict=True):
        for why in oddities(camera):
            odd.setdefault(why, []).append(name)
    advice = "check the calibration of this camera: a wrong one bends the map"
    return [
        Finding(Grade.WARNING, f"odd camera of {listed(names)}: {why}", advice, tuple(names))
        for why, names in odd.items()
    ]


def oddities(camera: Camera) -> list[str]:
    """What is unusual about a camera, in words."""
    field = np.rad2deg(2 * np.arctan(0.5 * camera.width / camera.fx))
    found = []
    if field < MIN_FIELD_DEG or (camera.model == "pinhole" and field > MAX_PINHOLE_DEG):
        found.append(f"fx={camera.fx:.5g} at a width of {camera.width} is a field of {field:.0f} deg")
    if max(camera.fx, camera.fy) > MAX_ASPECT * min(camera.fx, camera.fy):
        found.append(f"fx={camera.fx:.5g} and fy={camera.fy:.5g} differ")
    middle = np.array([camera.cx / camera.width, camera.cy / camera.height]) - 0.5
    if np.abs(middle).max() > CENTRE:
        found.append(
            f"principal point {camera.cx:.5g}, {camera.cy:.5g} of an image {camera.width}x{camera.height}"
        )
    return found


def _keypoints(map_: Map) -> list[Finding]:
    outside = np.array(
        [
            bool(len(f.keypoints)) and not c.contains(f.keypoints.astype(np.float64)).all()
            for f, c in zip(map_.features, map_.cameras, strict=True)
        ]
    )
    if not outside.any():
        return []
    names = _names(map_, outside)
    what = f"keypoints of {listed(names)} lie outside of their images"
    return [Finding(Grade.PROBLEM, what, "these cameras are not of these images: build it again", names)]


def _sightings(map_: Map) -> list[Finding]:
    """Whether landmarks project to where they were seen."""
    seen = map_.observations
    if not len(seen):
        return []
    error, depth = reprojection(map_.landmarks.points, seen)
    off = (np.linalg.norm(error, axis=1) > 2 * REPROJECTION_ERROR_PX) | (depth <= 0)
    owner = np.repeat(np.arange(len(map_)), [len(v) for v in map_.visible])
    share = np.bincount(owner, off, len(map_)) / np.maximum(np.bincount(owner, minlength=len(map_)), 1)
    bad = share > 0.5
    found = []
    if off.mean() > LAST_SIGHTINGS:
        what = f"{off.mean():.0%} of the sightings are more than {2 * REPROJECTION_ERROR_PX:g} px off"
        found.append(Finding(Grade.PROBLEM, what, "poses, cameras and landmarks disagree: build it again"))
    if bad.any():
        what = f"most landmarks of {listed(_names(map_, bad))} do not project to where they were seen"
        advice = "their poses or cameras are wrong: `relpose map remove` them"
        found.append(Finding(Grade.PROBLEM, what, advice, _names(map_, bad)))
    return found


def _names(map_: Map, chosen: NDArray[np.bool_] | Sequence[Any]) -> tuple[str, ...]:
    return tuple(map_.reference_names[i] for i in np.flatnonzero(chosen).tolist())
