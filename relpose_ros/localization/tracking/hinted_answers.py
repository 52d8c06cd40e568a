"""Answers that stand by a hint and follow each other, where no odometry says how the robot moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint
from relpose_ros.localization.tracking.fusion import gate
from relpose_ros.localization.tracking.options import TrackerOptions

Array = NDArray[np.float64]

LONGEST_PAUSE = 3.0
"""Seconds between two answers beyond which they say nothing about each other."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """One answer: the base in the map at `stamp` (seconds), with its covariance (6, 6)."""

    stamp: float
    map_from_base: Rigid
    covariance: Array

    def leads_to(self, later: Sighting, speed: float, options: TrackerOptions) -> bool:
        """Whether a robot that moves by `speed` (m/s and rad/s, one standard deviation) may be there then."""
        pause = later.stamp - self.stamp
        if not 0 < pause <= LONGEST_PAUSE:
            return False
        reach = (speed * pause) ** 2 * np.eye(6)
        error = self.map_from_base.error_to(later.map_from_base)
        return nees(error, self.covariance + later.covariance + reach) <= gate(options)


class HintedAnswers:
    """Counts answers in a row that agree with each other, and moves the hint along with them.

    They tell how the robot moves, if the hint is right; how sharp the hint is they do not change.
    """

    def __init__(self, speed: float, options: TrackerOptions) -> None:
        self._speed, self._options = speed, options
        self._first: Sighting | None = None
        self._last: Sighting | None = None
        self._hint: Hint | None = None
        self.count = 0

    def add(self, sighting: Sighting, hint: Hint) -> Hint:
        """Take an answer that was found with `hint`, as that is at its stamp; the hint as it is from here on.

        One that does not follow from the last begins anew.
        """
        if self._last is None or not self._last.leads_to(sighting, self._speed, self._options):
            self._first, self._hint, self.count = sighting, hint, 0
        self._last, self.count = sighting, self.count + 1
        return self._moved(sighting)

    @property
    def wanted(self) -> int:
        """So many answers are enough: as many as start a track, but never one alone."""
        return max(self._options.min_consistent_fixes, 2)

    @property
    def lasted(self) -> float:
        """Seconds that they span, to the microsecond."""
        if self._first is None or self._last is None:
            return 0.0
        return round(self._last.stamp - self._first.stamp, 6)

    @property
    def are_enough(self) -> bool:
        """Whether there are as many, over as long, as start a track."""
        return self.count >= self.wanted and self.lasted >= self._options.start_seconds

    def _moved(self, last: Sighting) -> Hint:
        """Displaced in the map as the answers were: where the hint is off, it stays off by as much."""
        assert self._first is not None and self._hint is not None
        if last is self._first:
            return self._hint
        moved = self._first.map_from_base.error_to(last.map_from_base)
        turned = np.eye(6)
        turned[3:, 3:] = last.map_from_base.rotation @ self._first.map_from_base.rotation.T
        covariance = turned @ self._hint.covariance @ turned.T
        covariance = covariance + self._first.covariance + last.covariance
        return replace(
            self._hint, map_from_camera=self._hint.map_from_camera.perturbed(moved), covariance=covariance
        )
