"""What a tracker says: what it did with a fix, and where the base is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import State

Array = NDArray[np.float64]


class Kind(StrEnum):
    """What became of a fix."""

    FIRST = "first"
    """It completed what the first pose, or the first after being lost, needs."""
    ACCEPTED = "accepted"
    """It agrees with the track and was fused."""
    PENDING = "pending"
    """There is no track yet and it alone is not enough to start one."""
    GATED = "gated"
    """It disagrees with the track: not used, but remembered as a sign of a kidnapping."""
    KIDNAPPED = "kidnapped"
    """It is the last of several that disagree with the track and agree with each other: followed."""
    REJECTED_BY_PRIOR = "rejected_by_prior"
    """It disagrees with the initial pose that was given: not used, but remembered."""
    AMBIGUOUS = "ambiguous"
    """Any of several places that look alike: not used, but where none of them is the track's, that is
    remembered as a sign of a kidnapping."""
    NO_ODOMETRY = "no_odometry"
    """Odometry does not cover its stamp (yet)."""
    STALE = "stale"
    """It is older than what odometry remembers."""


@dataclass(frozen=True)
class Decision:
    """What became of a fix.

    `mahalanobis`: distance to what it was judged against, in standard deviations (the root of the squared
    form that is gated), NaN where there was nothing; `reason` in words, empty for `accepted`; `jump`: how far
    `map_from_odom` moved the base at the stamp of the fix, in m and rad, (0, 0) unless it was used.
    """

    kind: Kind
    mahalanobis: float = float("nan")
    reason: str = ""
    jump: tuple[float, float] = (0.0, 0.0)

    @property
    def used(self) -> bool:
        """Whether the pose published from here on depends on the fix."""
        return self.kind in (Kind.FIRST, Kind.ACCEPTED, Kind.KIDNAPPED)


@dataclass(frozen=True, eq=False)
class TrackedPose:
    """Where the base is at `stamp`, in seconds.

    `covariance` (6, 6) in ROS order about the map's fixed axes, m^2, m*rad, rad^2, positive definite. `age`:
    seconds since the last fix that was used. `state` UNLOCALIZED says that too much is unknown to use the
    pose; `reason` says in words why it is not LOCALIZED. `by_hint`: it stands by an initial pose and degraded
    fixes alone, and the covariance covers that the initial pose may be wrong.
    """

    stamp: float
    map_from_base: Rigid
    covariance: Array
    age: float
    state: State
    reason: str = ""
    by_hint: bool = False
