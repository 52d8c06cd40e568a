"""One belief about where the base is, and how odometry carries it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import lever_adjoint, rotate_covariance, transform_pose_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking.fix import Fix
from relpose_ros.localization.tracking.motion_noise import path_covariance, scale_jacobian
from relpose_ros.localization.tracking.odometry_buffer import OdometryBuffer
from relpose_ros.localization.tracking.options import TrackerOptions

Array = NDArray[np.float64]

REMEMBERED_FIXES = 32
"""Stamps of so many fixes are kept, to know how much the next one has in common with them."""


@dataclass(frozen=True, eq=False)
class Track:
    """The base at `stamp`.

    The covariance has three parts, in the map's axes: `by_fixes` (6, 6), what the errors of fixes left;
    `by_motion` (6, 6), odometry's noise, which no fix shares; and odometry's scale, whose unit errors move
    the pose by the columns of `drift` (6, 2). `fixed` are the stamps of the fixes in it, oldest first,
    `count` how many there were, `began` the stamp of the first. `by_hint`: it stands by an initial pose and
    degraded fixes alone.
    """

    stamp: float
    map_from_base: Rigid
    odom_from_base: Rigid
    by_fixes: Array
    by_motion: Array
    drift: Array
    fixed: tuple[float, ...] = ()
    count: int = 0
    began: float = 0.0
    by_hint: bool = False

    @classmethod
    def of(cls, fix: Fix, odom_from_base: Rigid) -> Track:
        """What a single fix says."""
        return cls(
            fix.stamp, fix.map_from_base, odom_from_base, fix.covariance, np.zeros((6, 6)), np.zeros((6, 2)),
            (fix.stamp,), 1, fix.stamp,
        )  # fmt: skip

    @property
    def map_from_odom(self) -> Rigid:
        """The odometry frame in the map."""
        return self.map_from_base @ self.odom_from_base.inverse()

    @property
    def last_fix(self) -> float:
        """Stamp of the newest fix in it."""
        return max(self.fixed)

    @property
    def lasted(self) -> float:
        """Seconds that its fixes span, to the microsecond: stamps since 1970 are no finer."""
        return round(self.last_fix - self.began, 6)

    def unshared(self, options: TrackerOptions) -> Array:
        """The part of the covariance (6, 6) that is odometry's."""
        scale = np.array([options.scale_metres, options.scale_radians]) ** 2
        return np.asarray(self.by_motion + (self.drift * scale) @ self.drift.T)

    def covariance(self, options: TrackerOptions) -> Array:
        """All of it (6, 6)."""
        return self.by_fixes + self.unshared(options)

    def carried(self, odometry: OdometryBuffer, stamp: float, options: TrackerOptions) -> Track:
        """The belief about the base at another time, which may be earlier.

        Nothing may be missing from odometry at either.
        """
        if stamp == self.stamp:
            return self
        path = odometry.path(self.stamp, stamp)
        start_from_end, map_from_odom = path.start_from_end, self.map_from_odom
        adjoint = lever_adjoint(self.map_from_base.rotation @ start_from_end.translation)
        turn = np.kron(np.eye(2), map_from_odom.rotation)
        grown = rotate_covariance(path_covariance(path, options), map_from_odom)
        return replace(
            self,
            stamp=stamp,
            map_from_base=self.map_from_base @ start_from_end,
            odom_from_base=path.odom_from_base[-1],
            by_fixes=transform_pose_covariance(self.by_fixes, self.map_from_base, start_from_end),
            by_motion=transform_pose_covariance(self.by_motion, self.map_from_base, start_from_end) + grown,
            drift=adjoint @ self.drift + turn @ scale_jacobian(path),
        )

    def moved_unseen(self, stamp: float, odom_from_base: Rigid, metres: float, radians: float) -> Track:
        """The same place at another time, when the base may have moved so far without being seen."""
        unseen = np.diag(np.repeat([metres**2, radians**2], 3))
        return replace(self, stamp=stamp, odom_from_base=odom_from_base, by_motion=self.by_motion + unseen)
