"""What a replay is worth: the evaluation of the answers, and how the node kept up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from relpose_ros.types import Localization

if TYPE_CHECKING:
    from relpose_ros.datasets.base import PosedImage, Source
    from relpose_ros.evaluation.records import QueryRecord
    from relpose_ros.nodes.bag_player import CameraTopics
    from relpose_ros.nodes.collector import Collector
    from relpose_ros.nodes.replay import ReplayOptions

WARM_UP = 0.25
"""Share of a replay after which memory should have stopped growing."""


@dataclass(frozen=True)
class MemorySample:
    """Resident memory of the node in bytes at a time (monotonic seconds), and `processor` seconds used."""

    at: float
    bytes: int
    processor: float = 0.0


def replay_figures(
    collector: Collector, seconds: float, memory: Sequence[MemorySample], status: int
) -> dict[str, Any]:
    """How the node kept up. Ages are real seconds from sending an image to having its answer."""
    ages = np.array([s.age for s in collector.samples])
    percentiles: dict[str, float | None] = dict.fromkeys(("p50", "p95", "max"))
    if len(ages):
        p50, p95 = np.percentile(ages, (50, 95))
        percentiles = {"p50": float(p50), "p95": float(p95), "max": float(ages.max())}
    return {
        "seconds": seconds,
        "images_played": collector.images_sent,
        "images_answered": len(collector.samples),
        "images_dropped": max(collector.images_sent - len(collector.samples), 0),
        "poses_published": collector.poses,
        "answers_per_second": len(collector.samples) / seconds if seconds else 0.0,
        "image_age_s": percentiles,
        "node_memory_mb": memory_figures(memory),
        "node_processor": processor_figures(memory, len(collector.samples)),
        "node_exit_status": status,
    }


def memory_figures(samples: Sequence[MemorySample]) -> dict[str, float | None]:
    """First, last and largest resident memory in MB, and its slope in MB a minute after the warm-up."""
    if not samples:
        return dict.fromkeys(("first", "last", "largest", "slope_per_minute"))
    at = np.array([s.at for s in samples]) - samples[0].at
    mb = np.array([s.bytes for s in samples]) / 1e6
    warm = at >= WARM_UP * at[-1]
    slope = float(60 * np.polyfit(at[warm], mb[warm], 1)[0]) if warm.sum() >= 5 else None
    return {
        "first": float(mb[0]),
        "last": float(mb[-1]),
        "largest": float(mb.max()),
        "slope_per_minute": slope,
    }


def processor_figures(samples: Sequence[MemorySample], answers: int) -> dict[str, float | None]:
    """Processor time while images were played: cores in use, and ms for each answer."""
    used = samples[-1].processor - samples[0].processor if samples else 0.0
    seconds = samples[-1].at - samples[0].at if samples else 0.0
    return {
        "cores": used / seconds if seconds else None,
        "ms_per_answer": 1e3 * used / answers if answers else None,
    }


def open_truth(options: ReplayOptions, topics: CameraTopics) -> Source:
    """The images of the bag with their true poses. Raises DatasetError or CameraError."""
    from relpose_ros.datasets.rosbag import open_rosbag

    return open_rosbag(
        options.bag,
        image_topic=topics.image,
        camera_info_topic=topics.camera_info,
        pose_topic=options.pose_topic,
        split="query",
    )


def write_report(
    options: ReplayOptions, source: Source, collector: Collector, figures: dict[str, Any]
) -> None:
    """Score the answers against the poses of the bag, write the evaluation and replay.json, print both."""
    from relpose_ros.evaluation.evaluate import MapFacts, write_evaluation
    from relpose_ros.evaluation.table import format_table
    from relpose_ros.maps.bundle import Map

    bundle = Map.open(options.map)
    facts = MapFacts(bundle.info(), bundle.reference_poses, bundle.landmark_points)
    records = make_records(source, collector.answers, options.outside)
    command = f"relpose replay --map {options.map} {options.bag} --rate {options.rate:g}"
    results = write_evaluation(records, options.out, facts, source=source, command=command)
    (options.out / "replay.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(format_table(results))
    print(format_figures(figures))
    print(f"\nreport: {options.out / 'report.html'}")


def make_records(
    source: Source, answers: dict[int, Localization], outside: Sequence[tuple[float, float]] = ()
) -> list[QueryRecord]:
    """The images that were answered; those dropped to keep up are counted elsewhere.

    `outside`: stretches in seconds from the first image in which the camera is outside the map.
    """
    from relpose_ros.evaluation.records import QueryRecord

    by_stamp = {_stamp_of(image): image for image in source.images}
    first = min(by_stamp, default=0)

    def is_outside(stamp: int) -> bool:
        return any(a <= 1e-9 * (stamp - first) <= b for a, b in outside)

    return [
        QueryRecord(
            name=by_stamp[stamp].name,
            stamp=by_stamp[stamp].stamp,
            ground_truth=None if is_outside(stamp) else by_stamp[stamp].map_from_camera,
            localization=answers[stamp],
            image=by_stamp[stamp].load,
            camera=by_stamp[stamp].camera,
            outside_map=is_outside(stamp),
        )
        for stamp in sorted(answers)
        if stamp in by_stamp
    ]


def _stamp_of(image: PosedImage) -> int:
    """Nanoseconds exactly: a bag's images are named by their stamps."""
    sec, nanosec = image.name.split(".")
    return int(sec) * 1_000_000_000 + int(nanosec)


def format_figures(figures: dict[str, Any]) -> str:
    """A few lines for people."""
    age, memory = figures["image_age_s"], figures["node_memory_mb"]

    def milliseconds(key: str) -> str:
        return "-" if age[key] is None else f"{1e3 * age[key]:.0f}"

    slope = memory["slope_per_minute"]
    lines = [
        f"images         {figures['images_played']} played in {figures['seconds']:.1f} s, "
        f"{figures['images_answered']} answered ({figures['answers_per_second']:.1f}/s), "
        f"{figures['images_dropped']} dropped for newer ones, {figures['poses_published']} poses",
        f"image age      p50 {milliseconds('p50')} ms, p95 {milliseconds('p95')} ms, "
        f"max {milliseconds('max')} ms (image sent to answer received)",
        f"node memory    {memory['first'] or 0:.0f} MB at first, {memory['last'] or 0:.0f} MB at last"
        + ("" if slope is None else f", {slope:+.2f} MB/min"),
        f"node processor {figures['node_processor']['cores'] or 0:.2f} cores, "
        f"{figures['node_processor']['ms_per_answer'] or 0:.0f} ms for each answer",
    ]
    if figures["images_dropped"] > figures["images_answered"]:
        lines.append(
            "               most images were dropped: the machine is too slow or too busy for this pace; "
            "--profile fast, or a lower --rate of `relpose replay`, answers more of them"
        )
    return "\n".join(lines)
