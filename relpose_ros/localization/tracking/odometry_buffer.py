"""The last seconds of odometry: samples in order of time, and poses between them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid, interpolate
from relpose_ros.localization.tracking.options import TrackerOptions

Array = NDArray[np.float64]

MAX_STEPS = 200
"""A path is described by at most so many steps: its noise does not depend on finer ones."""
JUMP_SLACK = 0.1
"""Metres and radians that a sample may be off whatever its stamp says: stamps jitter."""


class Arrival(Enum):
    """What a sample is, seen from those before it."""

    USUAL = auto()
    TIME_JUMP = auto()
    """Its stamp lies before what can be a late arrival."""
    POSE_JUMP = auto()
    """The base cannot have moved that far since the sample before it."""
    MISFIT = auto()
    """It is late, and the base cannot have been there between the samples around it."""


@dataclass(frozen=True, eq=False)
class Path:
    """How odometry saw the base move: `odom_from_base` (N,) at `stamps` (N,), from the start to the end.

    Stamps fall where the path leads back in time. `guessed`: the last step lies past the newest sample.
    `blind` (N - 1,): steps across a gap, in which odometry may have begun anew.
    """

    stamps: Array
    odom_from_base: Rigid
    guessed: bool = False
    blind: NDArray[np.bool_] | None = None

    @cached_property
    def steps(self) -> Array:
        """Twists (N - 1, 6) from each pose to the next, in odometry's axes."""
        return self.odom_from_base[:-1].error_to(self.odom_from_base[1:])

    @property
    def start_from_end(self) -> Rigid:
        """The base at the end, seen from the base at the start."""
        return self.odom_from_base[0].inverse() @ self.odom_from_base[-1]


class OdometryBuffer:
    """Samples of odometry; `options` say how long they are kept and what counts as a jump."""

    def __init__(self, options: TrackerOptions) -> None:
        self._options = options
        self._stamps: list[float] = []
        self._poses: list[Rigid] = []

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def newest(self) -> tuple[float, Rigid]:
        """Stamp and pose of the newest sample."""
        return self._stamps[-1], self._poses[-1]

    @property
    def oldest(self) -> float:
        """Stamp of the oldest sample."""
        return self._stamps[0]

    def judged(self, stamp: float, pose: Rigid) -> Arrival:
        """What adding this sample would mean."""
        if not self._stamps:
            return Arrival.USUAL
        seconds = stamp - self._stamps[-1]
        if seconds < -self._options.reorder_seconds:
            return Arrival.TIME_JUMP
        if seconds <= 0:
            return Arrival.USUAL if self._fits(stamp, pose) else Arrival.MISFIT
        return Arrival.USUAL if self._may_reach(-1, stamp, pose) else Arrival.POSE_JUMP

    def add(self, stamp: float, pose: Rigid) -> None:
        """Sort a sample in; one with the same stamp is replaced."""
        place = bisect_left(self._stamps, stamp)
        if place < len(self._stamps) and self._stamps[place] == stamp:
            self._poses[place] = pose
            return
        self._stamps.insert(place, stamp)
        self._poses.insert(place, pose)

    def forget_before(self, stamp: float) -> None:
        """Drop the samples older than `stamp`, but for the last of them: poses from `stamp` on stay known."""
        count = max(bisect_right(self._stamps, stamp) - 1, 0)
        del self._stamps[:count], self._poses[:count]

    def clear(self) -> None:
        """Drop everything."""
        self._stamps, self._poses = [], []

    def first_from(self, stamp: float) -> float:
        """The stamp of the first sample at or after `stamp`, or of the newest."""
        return self._stamps[min(bisect_left(self._stamps, stamp), len(self._stamps) - 1)]

    def is_past(self, stamp: float) -> bool:
        """Whether `stamp` lies before everything that is remembered."""
        return bool(self._stamps) and stamp < self._stamps[0]

    def missing(self, stamp: float) -> str:
        """Why the pose at `stamp` is not known, in words; empty where it is."""
        options = self._options
        if not self._stamps:
            return "no odometry has come yet"
        if stamp < self._stamps[0]:
            return f"odometry reaches back to {self._stamps[0]:.3f} s, asked at {stamp:.3f} s"
        late = stamp - self._stamps[-1]
        if late > options.extrapolate_seconds:
            return f"odometry is {late:.2f} s behind what was asked; {options.extrapolate_seconds} s may be"
        place = bisect_left(self._stamps, stamp)
        if 0 < place < len(self._stamps) and self._stamps[place] != stamp:
            gap = self._stamps[place] - self._stamps[place - 1]
            if gap > options.gap_seconds:
                return f"odometry has a gap of {gap:.2f} s there ({options.gap_seconds} s may be)"
        return ""

    def at(self, stamp: float) -> Rigid:
        """`odom_from_base` at a `stamp` for which nothing is `missing`."""
        place = bisect_left(self._stamps, stamp)
        if place == len(self._stamps):
            return self._beyond(stamp)
        if self._stamps[place] == stamp:
            return self._poses[place]
        before, after = self._stamps[place - 1], self._stamps[place]
        return interpolate(self._poses[place - 1], self._poses[place], (stamp - before) / (after - before))

    def path(self, start: float, end: float) -> Path:
        """From `start` to `end`, which may be earlier; nothing may be `missing` at either."""
        low, high = min(start, end), max(start, end)
        inside = range(bisect_right(self._stamps, low), bisect_left(self._stamps, high))
        every = np.array([low, *self._stamps[inside.start : inside.stop], high])
        gaps = every[1:][np.diff(every) > self._options.gap_seconds]
        if len(inside) > MAX_STEPS:
            inside = inside[:: -(-len(inside) // MAX_STEPS)]
        stamps = np.array([low, *(self._stamps[i] for i in inside), high])
        poses = Rigid.stack([self.at(low), *(self._poses[i] for i in inside), self.at(high)])
        blind = np.isin(np.arange(1, len(stamps)), np.searchsorted(stamps, gaps))
        order = slice(None) if start <= end else slice(None, None, -1)
        return Path(stamps[order], poses[order], high > self._stamps[-1], blind[order])

    def _fits(self, stamp: float, pose: Rigid) -> bool:
        """Whether a late sample lies on a way between its neighbours; one of the same stamp is none."""
        around = bisect_left(self._stamps, stamp) - 1, bisect_right(self._stamps, stamp)
        return all(self._may_reach(i, stamp, pose) for i in around if 0 <= i < len(self._stamps))

    def _may_reach(self, index: int, stamp: float, pose: Rigid) -> bool:
        """Whether the base may have been at `pose` at `stamp` and where that sample has it."""
        seconds = abs(stamp - self._stamps[index])
        metres, radians = _apart(self._poses[index], pose)
        reach = self._options.max_speed * seconds, self._options.max_turn_rate * seconds
        return metres <= reach[0] + JUMP_SLACK and radians <= reach[1] + JUMP_SLACK

    def _beyond(self, stamp: float) -> Rigid:
        """Past the newest sample, at the mean velocity of as long before it as may be guessed."""
        last, pose = self.newest
        place = max(bisect_right(self._stamps, last - max(self._options.extrapolate_seconds, 0.05)) - 1, 0)
        seconds = last - self._stamps[place]
        if not 0 < seconds <= self._options.gap_seconds:
            return pose
        moved = self._poses[place].inverse() @ pose
        return pose @ interpolate(Rigid.identity(), moved, (stamp - last) / seconds)


def _apart(pose: Rigid, other: Rigid) -> tuple[float, float]:
    """`Rigid.distance_to` for every sample of odometry: a tenth of its time, good to a milliradian."""
    cosine = 0.5 * (float(np.sum(pose.rotation * other.rotation)) - 1)
    metres = math.dist(pose.translation, other.translation)
    return metres, math.acos(min(max(cosine, -1.0), 1.0))
