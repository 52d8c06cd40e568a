"""One map and its queries, as single frames and joined by odometry: what `benchmarks robot` counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from relpose_ros.datasets.base import Source
from relpose_ros.evaluation.evaluate import MapFacts, answer, answers
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.tracked import SimulatedDrive, in_order_of_time, metre, track_queries
from relpose_ros.evaluation.tracking_results import tracking_results
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.tracking.camera_tracker import CameraTracker
from relpose_ros.localization.tracking.options import TrackerOptions
from relpose_ros.maps.bundle import Map

RATE = 10.0
"""Queries a second where a source has no stamps."""

CALM = 0.5
"""Share of the speed that a tracker takes for a jump: queries without stamps come no faster than that."""

MIN_FRAMES_AFTER = 7
"""A kidnapping is tried where so many frames follow it: five that agree are needed, and some may be lost."""

Results = dict[str, Any]


@dataclass(frozen=True)
class Robot:
    """A localizer's answers to the queries of a scene, and what odometry needs to join them."""

    records: list[QueryRecord]
    facts: MapFacts
    metric: bool
    unit: float
    rate: float

    @classmethod
    def of(cls, source: Source, opened: Map, profile: str) -> Robot:
        """Ask for every query, once: odometry joins the same answers whatever its noise."""
        localizer = Localizer(opened, profile)
        answer(localizer, source.references[0])  # the first call loads libraries; a robot does that once
        facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points)
        records = answers(localizer, source)
        unit = metre(records, facts.reference_poses, source.metric)
        return cls(records, facts, source.metric, unit, slow_enough(records, unit))

    def drive(self, seed: int, kidnapped: bool) -> Results | None:
        """`tracking.json`; None for a kidnapping where too few frames would follow it."""
        at = self._halfway() if kidnapped else None
        if kidnapped and at is None:
            return None
        drive = SimulatedDrive(seed, rate=self.rate, kidnap_at=at).scaled(self.unit)
        run = track_queries(self.records, CameraTracker(TrackerOptions().scaled(self.unit)), drive)
        return tracking_results(run, drive, self.facts, metric=self.metric, unit=self.unit)

    def _halfway(self) -> float | None:
        _, stamps = in_order_of_time(self.records, self.rate)
        last = len(stamps) // 2
        return float(stamps[last] - stamps[0]) if len(stamps) - 1 - last >= MIN_FRAMES_AFTER else None


def slow_enough(records: Sequence[QueryRecord], unit: float) -> float:
    """Queries a second where they have no stamps: `RATE`, or less where they stand far apart."""
    known, stamps = in_order_of_time(records, RATE)
    if len(known) < 2:
        return RATE
    poses = Rigid.stack([r.ground_truth for r in known if r.ground_truth is not None])
    metres, radians = poses[:-1].distance_to(poses[1:])
    options, seconds = TrackerOptions().scaled(unit), np.diff(stamps)
    hurry = np.maximum(metres / (options.max_speed * seconds), radians / (options.max_turn_rate * seconds))
    return float(RATE / max(1.0, hurry.max() / CALM))


def measure(source: Source, opened: Map, profile: str, seeds: Sequence[int]) -> Results:
    """Everything that the tables are made from, and each query's answer."""
    robot = Robot.of(source, opened, profile)
    drives = [robot.drive(seed, kidnapped=False) for seed in seeds]
    kidnapped = [robot.drive(seed, kidnapped=True) for seed in seeds]
    runs = [found for found in drives if found is not None]
    return {
        "scene": source.name,
        "profile": profile,
        "metric": source.metric,
        "metre": robot.unit,
        "frames_per_second": robot.rate,
        "references": len(source.references),
        "single_frame": runs[0]["single_frame"],
        "with_odometry": [run["with_odometry"] for run in runs],
        "decisions": [run["decisions"] for run in runs],
        "kidnapped": [found for found in kidnapped if found is not None],
        "per_query": [_line(record) for record in robot.records],
    }


def _line(record: QueryRecord) -> Results:
    truth = record.ground_truth
    known = None if truth is None else {"t": truth.translation, "xyzw": truth.rotation_xyzw}
    return {**replace(record.localization, source=record.name).to_json(), "ground_truth": known}
