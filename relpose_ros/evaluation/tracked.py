"""Answers to single frames, joined by odometry: what a tracker would have published at each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.false_poses import scene_extent
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.simulated_odometry import Kidnapping, OdometryNoise, simulate_odometry
from relpose_ros.evaluation.trajectories import record_stamps
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Localization

Array = NDArray[np.float64]

UNIT_SHARE = 0.1
"""Of the scene's extent: what counts as a metre where the map's unit is not the metre."""


class FollowsFrames(Protocol):
    """Whatever joins frames by odometry; `localization.tracking` has one."""

    def odometry(self, stamp: float, odom_from_camera: Rigid) -> None:
        """A sample of odometry."""
        ...

    def frame(self, stamp: float, answer: Localization) -> tuple[str, Localization]:
        """What became of the frame, in a word, and what is published at its stamp."""
        ...


@dataclass(frozen=True)
class SimulatedDrive:
    """How odometry is made, and what happens.

    `rate`: frames a second where the source has no stamps of its own; `kidnap_at`: seconds after the first
    frame, or None; `kidnapping`: what happens then.
    """

    seed: int
    noise: OdometryNoise = field(default_factory=OdometryNoise)
    rate: float = 10.0
    kidnap_at: float | None = None
    kidnapping: Kidnapping = field(default_factory=Kidnapping)

    def scaled(self, unit: float) -> SimulatedDrive:
        """The same where a metre is `unit` long."""
        carried = replace(self.kidnapping, metres=self.kidnapping.metres * unit)
        return replace(self, noise=self.noise.scaled(unit), kidnapping=carried)


@dataclass(frozen=True)
class TrackedRun:
    """`single`: the records that could be joined, in order of time; `tracked`: the same frames as published.

    `kinds`: what became of each frame; `kidnapped_after`: index of the last frame before the kidnapping.
    """

    single: tuple[QueryRecord, ...]
    tracked: tuple[QueryRecord, ...]
    kinds: tuple[str, ...]
    kidnapped_after: int | None = None


def track_queries(
    records: Sequence[QueryRecord], follower: FollowsFrames, drive: SimulatedDrive
) -> TrackedRun:
    """Feed odometry and answers in order of time. Takes the queries with a true pose.

    Raises ConfigurationError for fewer than two of them, or a kidnapping that no frame follows.
    """
    single, stamps = in_order_of_time(records, drive.rate)
    kidnapped_after = None if drive.kidnap_at is None else _last_before(stamps, drive.kidnap_at)
    truths = [r.ground_truth for r in single if r.ground_truth is not None]
    if len(truths) < 2:
        raise ConfigurationError(
            f"expected two or more queries with a true pose to make odometry from, got {len(truths)}"
        )
    odometry = simulate_odometry(
        stamps, Rigid.stack(truths), drive.seed, drive.noise, kidnapped_after, drive.kidnapping
    )
    kinds, tracked, fed = [], [], 0
    for record, stamp in zip(single, odometry.frame_stamps.tolist(), strict=True):
        until = int(np.searchsorted(odometry.stamps, stamp, side="right"))
        for index in range(fed, until):
            follower.odometry(float(odometry.stamps[index]), odometry.odom_from_body[index])
        fed = until
        kind, published = follower.frame(stamp, record.localization)
        kinds.append(kind)
        tracked.append(replace(record, stamp=stamp, localization=published))
    return TrackedRun(tuple(single), tuple(tracked), tuple(kinds), kidnapped_after)


def metre(records: Sequence[QueryRecord], reference_poses: Rigid | None, metric: bool) -> float:
    """How long a metre is in map units; a share of the scene's extent where nobody knows."""
    if metric:
        return 1.0
    extent = scene_extent(records, reference_poses)
    return UNIT_SHARE * extent if extent > 0 else 1.0


def in_order_of_time(records: Sequence[QueryRecord], rate: float) -> tuple[list[QueryRecord], Array]:
    """The queries with a true pose and their stamps (N,), rising; `rate` a second where stamps repeat."""
    known = [r for r in records if r.ground_truth is not None and not r.outside_map]
    stamps = record_stamps(known)
    if [r.stamp for r in known] != stamps.tolist():
        stamps = stamps / rate
    order = np.argsort(stamps, kind="stable")
    return [known[i] for i in order], stamps[order]


def _last_before(stamps: Array, seconds: float) -> int:
    last = int(np.searchsorted(stamps, stamps[:1].sum() + seconds, side="right")) - 1
    if not 0 <= last < len(stamps) - 1:
        length = stamps[-1] - stamps[0] if len(stamps) else 0.0
        raise ConfigurationError(
            f"expected a kidnapping within the {length:.1f} s of the queries, got one at {seconds} s"
        )
    return last
