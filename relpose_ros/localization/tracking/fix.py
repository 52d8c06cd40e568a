"""One localized frame, as a tracker takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import checked_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import State

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fix:
    """The pose of the base at the time of exposure.

    `stamp` in seconds; `covariance` (6, 6) calibrated, ROS order about the map's fixed axes; `confidence`
    (0..1) and `state` as the localizer gave them. Raises ValueError for a state without a pose, a number
    that is not finite, and a covariance that is not symmetric and positive definite.
    """

    stamp: float
    map_from_base: Rigid
    covariance: Array
    confidence: float = 1.0
    state: State = State.LOCALIZED

    def __post_init__(self) -> None:
        if self.state is State.UNLOCALIZED:
            raise ValueError("expected a localization with a pose, got an unlocalized one: it is no fix")
        if not np.isfinite([self.stamp, self.confidence, *self.map_from_base.matrix.ravel()]).all():
            raise ValueError("expected a fix of finite numbers, got NaN or infinity")
        object.__setattr__(self, "covariance", checked_covariance(self.covariance))
