"""The part of `relpose evaluate` that joins frames by odometry."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from relpose_ros.datasets.base import Source
    from relpose_ros.evaluation.evaluate import MapFacts
    from relpose_ros.evaluation.records import QueryRecord

FOLDER = "with_odometry"
"""Below the report's folder: the same files for what the tracker publishes, and tracking.json."""


def add_odometry_arguments(parser: argparse.ArgumentParser) -> None:
    """`--odometry`, `--frame-rate` and `--kidnap-at`."""
    parser.add_argument(
        "--odometry",
        type=simulated,
        metavar="simulated:SEED",
        help="also run the answers through the tracker, in order of time, with noisy odometry made from the "
        "true poses, and report both side by side (docs/tracking.md)",
    )
    parser.add_argument(
        "--frame-rate",
        type=_above_zero,
        default=10.0,
        metavar="HZ",
        help="with --odometry: queries a second where SOURCE has no stamps (default 10)",
    )
    parser.add_argument(
        "--kidnap-at",
        type=float,
        metavar="SECONDS",
        help="with --odometry: so long after the first query the camera is carried away unseen by odometry; "
        "the time until the pose is right again is reported",
    )


def check_odometry(args: argparse.Namespace) -> None:
    """Raise ConfigurationError, before anything is localized, for a kidnapping without odometry."""
    if args.kidnap_at is not None and args.odometry is None:
        raise ConfigurationError("--kidnap-at is unseen by odometry: it needs --odometry simulated:SEED")


def simulated(word: str) -> int:
    """The seed of `simulated:SEED`, as an argument's `type`."""
    kind, _, seed = word.partition(":")
    if kind != "simulated" or not seed.isdecimal():
        raise argparse.ArgumentTypeError(f"expected simulated:SEED, as simulated:1, got {word!r}")
    return int(seed)


def evaluate_with_odometry(
    args: argparse.Namespace, records: Sequence[QueryRecord], facts: MapFacts, source: Source
) -> tuple[dict[str, Any], str]:
    """Track the records and write what came of it. Returns tracking.json's content and its table."""
    from relpose_ros.evaluation.evaluate import write_evaluation
    from relpose_ros.evaluation.provenance import command_line
    from relpose_ros.evaluation.tracked import SimulatedDrive, metre, track_queries
    from relpose_ros.evaluation.tracking_results import format_tracking, tracking_results, write_tracking
    from relpose_ros.localization.tracking.camera_tracker import CameraTracker
    from relpose_ros.localization.tracking.options import TrackerOptions

    unit = metre(records, facts.reference_poses, source.metric)
    drive = SimulatedDrive(args.odometry, rate=args.frame_rate, kidnap_at=args.kidnap_at).scaled(unit)
    run = track_queries(records, CameraTracker(TrackerOptions().scaled(unit)), drive)
    found = tracking_results(run, drive, facts, metric=source.metric, unit=unit)
    folder = args.out / FOLDER
    write_evaluation(run.tracked, folder, facts, source=source, command=command_line())
    write_tracking(found, folder / "tracking.json")
    return found, f"{format_tracking(found, source.metric)}\nreport: {folder / 'report.html'}"


def _above_zero(word: str) -> float:
    value = float(word)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {word}")
    return value
