"""Which cameras of a rig agree: each says its own pose, if it can, and the mounts say what must follow.

Counting matches is not enough. Two cameras that look to either side can both agree, to a few pixels, with a
pose between those that they find alone, if the mount of one is turned: it is off by decimetres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import transform_pose_covariance
from relpose_ros.geometry.rig import Mounts, RigConsensus
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.structure import Sighting, StructureLocalizer

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RigOptions:
    """`least`: inliers with which a camera has a pose of its own; it is looked for where the common one is
    if that has `share` of what the camera finds alone. `same`: largest squared Mahalanobis distance of poses
    that agree (the default: 99.9 % of the chi-square distribution with six degrees of freedom). A camera that
    disagrees is `knocked`, its mount is wrong, if it stands where the others put it, to 5 % of the depth, and
    is turned by less (rad); else it sees another place."""

    least: int = 15
    share: float = 0.9
    same: float = 22.46
    knocked: float = 0.35


@dataclass(frozen=True)
class OwnPose:
    """What one camera says by itself: its pose, its inliers, and the covariance (6, 6), which is the
    calibrated one and that of its mount: others are compared with where the mount puts it."""

    map_from_camera: Rigid
    covariance: Array
    inliers: int

    def of(self, camera_from_base: Rigid) -> OwnPose:
        """The same, as the pose of the base."""
        pose = self.map_from_camera
        covariance = transform_pose_covariance(self.covariance, pose, camera_from_base)
        return OwnPose(pose @ camera_from_base, covariance, self.inliers)


def own_poses(
    sightings: Sequence[Sighting],
    consensus: RigConsensus,
    mounts: Mounts,
    structure: StructureLocalizer,
    calibration: Calibration,
    options: RigOptions,
) -> dict[int, OwnPose]:
    """Of each camera that can tell its own pose."""
    found = {}
    for camera, (seen, alone) in enumerate(zip(sightings, consensus.alone, strict=True)):
        if alone is None or alone.inliers.sum() < options.least:
            continue
        # A view of something flat has two poses: where the common one fits, it is not the other.
        fits = consensus.inliers[camera].sum() >= options.share * alone.inliers.sum()
        start = consensus.map_from_base @ mounts.base_from_camera[camera] if fits else alone.pose
        near = structure.nearby(seen, start)
        if near is not None and near[0].evidence.inliers >= options.least:
            own = with_circumstances(structure.map, near[0], seen.query.camera.focal)
            inliers = max(own.evidence.inliers, int(alone.inliers.sum()))
            covariance = calibration.covariance(own) + mounts.covariance(camera)
            found[camera] = OwnPose(own.map_from_camera, covariance, inliers)
    return found


def disagreeing(
    own: Mapping[int, OwnPose], base_from_camera: Rigid, options: RigOptions
) -> dict[int, OwnPose]:
    """The cameras outside of the best supported group that says one pose of the base."""
    base = {camera: pose.of(base_from_camera[camera].inverse()) for camera, pose in own.items()}
    groups = [
        [other for other in base if distance(base[camera], base[other]) < options.same] for camera in base
    ]
    best = max(groups, key=lambda group: sum(own[c].inliers for c in group), default=[])
    return {camera: pose for camera, pose in own.items() if camera not in best}


def scatter(
    own: Mapping[int, OwnPose], map_from_base: Rigid, base_from_camera: Rigid, options: RigOptions
) -> float:
    """By how much the cameras differ from the common pose more than their covariances say, at least 1.

    The root of chi-square over its degrees of freedom, 6 (C - 1) (Birge 1932). One that disagrees counts as
    if it just did: where one mount is wrong, the others are less sure to be right.
    """
    if len(own) < 2:
        return 1.0
    total = 0.0
    for camera, pose in own.items():
        error = pose.map_from_camera.error_to(map_from_base @ base_from_camera[camera])
        total += min(float(error @ np.linalg.solve(pose.covariance, error)), options.same)
    return max(1.0, float(np.sqrt(total / (6 * (len(own) - 1)))))


def distance(first: OwnPose, second: OwnPose) -> float:
    """Squared Mahalanobis distance of two poses of one base, whose errors are independent."""
    error = first.map_from_camera.error_to(second.map_from_camera)
    return float(error @ np.linalg.solve(first.covariance + second.covariance, error))
