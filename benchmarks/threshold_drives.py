"""Drives for `benchmarks thresholds`: answers to single frames and made odometry through a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.report import number, percent
from relpose_ros.evaluation.metrics import score
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.tracked import SimulatedDrive, in_order_of_time, track_queries
from relpose_ros.evaluation.tracking_results import is_false, is_right
from relpose_ros.localization.tracking import TrackerOptions
from relpose_ros.localization.tracking.camera_tracker import CameraTracker
from relpose_ros.types import Localization, State

SEEDS = (1, 2, 3)
WRONG_SHARE = 0.05
BLIND = (0.25, 0.4)
KIDNAPPED = 0.6
"""What happens in a drive: this share of the answers is another frame's, nothing is answered between these
shares of its frames, and after this share the base is carried off (Kidnapping's defaults)."""

HEADER = ["published", "median error", "false poses", "right again after a kidnapping"]


@dataclass(frozen=True)
class Drive:
    """The frames of one drive in order of time, with what goes wrong in them."""

    records: tuple[QueryRecord, ...]
    simulated: SimulatedDrive


@dataclass(frozen=True)
class DriveScore:
    """Over all drives. `recovery`: seconds after each kidnapping, infinite where never."""

    published: int
    frames: int
    errors: tuple[float, ...]
    false: int
    recovery: tuple[float, ...]

    def cells(self, base: DriveScore) -> list[str]:
        """As in HEADER: the error as a multiple of that of `base`."""
        error = float(np.median(self.errors) / np.median(base.errors)) if self.errors else None
        known = [seconds for seconds in self.recovery if np.isfinite(seconds)]
        again = f"{len(known)} of {len(self.recovery)}"
        median = f", median {number(float(np.median(known)), 1)} s" if known else ""
        return [
            f"{percent(self.published / self.frames)} %", f"x {number(error, 2)}",
            f"{self.false} of {self.published}", again + median,
        ]  # fmt: skip


def drives(records: Sequence[QueryRecord]) -> list[Drive]:
    """One drive a seed over the same frames, 10 a second."""
    made = []
    for seed in SEEDS:
        rate = SimulatedDrive(seed).rate
        ordered = [replace(r, stamp=i / rate) for i, r in enumerate(in_order_of_time(records, rate)[0])]
        length = len(ordered)
        simulated = SimulatedDrive(seed, kidnap_at=KIDNAPPED * (length - 1) / rate)
        made.append(Drive(tuple(_troubled(ordered, seed)), simulated))
    return made


def measure(all_drives: Sequence[Drive], **changes: Any) -> DriveScore:
    """All drives through a tracker with these options changed."""
    frames: list[QueryRecord] = []
    recovery: list[float] = []
    for drive in all_drives:
        follower = CameraTracker(replace(TrackerOptions(), **changes))
        run = track_queries(drive.records, follower, drive.simulated)
        frames += run.tracked
        after = run.tracked[(run.kidnapped_after or 0) + 1 :]
        recovery.append(next((r.stamp - after[0].stamp for r in after if is_right(r)), np.inf))
    scores = score(frames)
    return DriveScore(
        int(scores.published.sum()), len(frames), tuple(scores.translation[scores.published].tolist()),
        sum(is_false(record) for record in frames), tuple(recovery),
    )  # fmt: skip


def _troubled(records: Sequence[QueryRecord], seed: int) -> list[QueryRecord]:
    """Some answers are those of a frame elsewhere, and for a while there are none."""
    random, length = np.random.default_rng(seed), len(records)
    out = []
    for index, record in enumerate(records):
        answer = record.localization
        if random.random() < WRONG_SHARE:
            elsewhere = (index + length // 2) % length
            answer = records[elsewhere].localization
        if BLIND[0] <= index / length < BLIND[1]:
            answer = Localization(State.UNLOCALIZED, "nothing to see")
        out.append(replace(record, localization=answer))
    return out
