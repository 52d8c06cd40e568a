"""A hint of where a camera is, as a prior: what agrees with it and what it excludes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import checked_covariance, nees, transform_pose_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Hypothesis, Localization, State

Array = NDArray[np.float64]

LEVEL_CAMERA = Rigid(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))
"""A camera that looks ahead in body axes (x forward, y left, z up; REP-103)."""


@dataclass(frozen=True)
class HintOptions:
    """`reach_sigma`: standard deviations of a hint within which references are asked. A pose agrees
    with a hint, or is excluded by it, where its squared Mahalanobis distance is below, or above, what a right
    hint keeps below with probability `agrees`, or `excludes`; between the two the hint says nothing."""

    reach_sigma: float = 3.0
    agrees: float = 0.99
    excludes: float = 0.9999


@dataclass(frozen=True, eq=False)
class Hint:
    """A prior of a camera's pose (of a rig: of its base) that came from elsewhere, as from an operator.

    `covariance` (6, 6) in ROS order, translation (map units) before rotation about the map's fixed axes.
    Raises ValueError for a covariance that is none.
    """

    map_from_camera: Rigid
    covariance: Array
    options: HintOptions = field(default_factory=HintOptions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariance", checked_covariance(self.covariance))

    def seen_from(self, camera_from_other: Rigid) -> Hint:
        """The hint as one of something else that is fixed to the camera."""
        pose = self.map_from_camera
        covariance = transform_pose_covariance(self.covariance, pose, camera_from_other)
        return Hint(pose @ camera_from_other, covariance, self.options)

    def after(self, distance: float) -> Hint:
        """The hint of something that has moved since, nobody knows where to: `distance` (map units) is the
        standard deviation that this adds on each axis, and as many radians about each."""
        return replace(self, covariance=self.covariance + distance**2 * np.eye(6))

    def decides(self, mine: Hypothesis, other: Hypothesis) -> bool:
        """Whether the hint agrees with one pose and excludes the other (chi-square, 6 degrees of freedom)."""
        if not self.agrees(mine.map_from_camera, mine.covariance):
            return False
        return self._squared(other.map_from_camera, other.covariance) > _gate(self.options.excludes)

    def agrees(self, map_from_camera: Rigid, covariance: Array) -> bool:
        """Whether a pose with its covariance (6, 6) may be the hinted one."""
        return self._squared(map_from_camera, covariance) <= _gate(self.options.agrees)

    def distance(self, map_from_camera: Rigid) -> Array:
        """From the hinted position to that of each of (N,) poses, in standard deviations (N,)."""
        offset = np.atleast_2d(map_from_camera.translation) - self.map_from_camera.translation
        weighted = np.linalg.solve(self.covariance[:3, :3], offset.T).T
        return np.asarray(np.sqrt((offset * weighted).sum(axis=1)))

    def _squared(self, map_from_camera: Rigid, covariance: Array) -> float:
        return nees(self.map_from_camera.error_to(map_from_camera), self.covariance + covariance)


def hint_from_numbers(
    numbers: Sequence[float], distance: float, degrees: float, of_camera: bool = True
) -> Hint:
    """A hint that somebody typed, with the same standard deviations on all axes and about them.

    `numbers`: x y z yaw in a map whose z is up, of a camera that looks level, or of a base (REP-103) where it
    is not `of_camera`; or x y z qx qy qz qw of either. Raises ValueError for other numbers.
    """
    if len(numbers) not in (4, 7) or not np.isfinite([*numbers, distance, degrees]).all():
        raise ValueError(f"expected x y z yaw, or x y z qx qy qz qw, got {len(numbers)} numbers")
    if min(distance, degrees) <= 0:
        raise ValueError(f"expected standard deviations above 0, got {distance:g} and {degrees:g} degrees")
    if len(numbers) == 7:
        pose = Rigid.from_quaternion(numbers[3:], numbers[:3])
    else:
        pose = Rigid.from_rotation_vector([0.0, 0.0, numbers[3]], numbers[:3])
        pose = pose @ LEVEL_CAMERA if of_camera else pose
    return Hint(pose, np.diag(np.repeat([distance**2, np.deg2rad(degrees) ** 2], 3)))


def settled(whole: Localization, near: Localization, hint: Hint, trust: float) -> Localization:
    """The answer of the `whole` map, or, where that has no pose, the one found `near` a hint.

    Such a pose must agree with the hint, and is DEGRADED: retrieval from all of the map, which sees what
    looks alike elsewhere, does not confirm it. Its confidence is at most `trust`.
    """
    if whole.has_pose or near.map_from_camera is None or near.covariance is None:
        return whole
    if not hint.agrees(near.map_from_camera, near.covariance):
        return whole
    found = f"found round the hint alone; in all of the map: {whole.reason}"
    reason = f"{near.reason}; {found}" if near.reason else found
    return replace(near, state=State.DEGRADED, reason=reason, confidence=min(near.confidence, trust))


@cache
def _gate(probability: float) -> float:
    """Chi-square of 6 degrees of freedom stays below this with `probability`."""
    from scipy.special import chdtri

    return float(chdtri(6, 1 - probability))
