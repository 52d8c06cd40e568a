"""`tracking.json`: single frames and the tracker side by side. docs/tracking.md defines each figure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation import words
from relpose_ros.evaluation.consistency import Share
from relpose_ros.evaluation.evaluate import MapFacts
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.evaluation.metrics import pose_error
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.results import summarize
from relpose_ros.evaluation.tracked import SimulatedDrive, TrackedRun

Array = NDArray[np.float64]

FALSE_METRES = 1.0
FALSE_DEGREES = 15.0
CLAIMED_SHARE = 1 / 3
"""A pose that is wrong by more than the limits is false if it claims less than this share of its error."""


def is_false(record: QueryRecord, unit: float = 1.0) -> bool:
    """Whether a published pose is wrong by more than the limits and does not say so.

    What it claims is its standard deviation along the error, of the position and of the rotation each.
    """
    answer, truth = record.localization, record.ground_truth
    if answer.map_from_camera is None or truth is None:
        return False
    error = pose_error(answer.map_from_camera, truth)
    covariance = np.zeros((6, 6)) if answer.covariance is None else answer.covariance
    limits = (FALSE_METRES * unit, np.radians(FALSE_DEGREES))
    parts = (slice(3), slice(3, 6))
    return any(_hidden(error[p], covariance[p, p], limit) for p, limit in zip(parts, limits, strict=True))


def is_right(record: QueryRecord, unit: float = 1.0) -> bool:
    """Whether a pose was published and is within the limits."""
    answer, truth = record.localization, record.ground_truth
    if answer.map_from_camera is None or truth is None:
        return False
    metres, radians = answer.map_from_camera.distance_to(truth)
    return bool(metres <= FALSE_METRES * unit and radians <= np.radians(FALSE_DEGREES))


def tracking_results(
    run: TrackedRun, drive: SimulatedDrive, facts: MapFacts, *, metric: bool, unit: float = 1.0
) -> dict[str, Any]:
    """Every figure of a tracked run, in JSON's own types."""
    carried = None if run.kidnapped_after is None else _kidnapping(run, drive, unit)
    results = {
        "odometry": {"seed": drive.seed, "frames_per_second": drive.rate, **drive.noise.to_json()},
        "false_limits": {"translation_m": FALSE_METRES * unit, "rotation_deg": FALSE_DEGREES},
        "single_frame": _figures(run.single, facts, metric, unit),
        "with_odometry": _figures(run.tracked, facts, metric, unit),
        "decisions": dict(Counter(run.kinds).most_common()),
        "kidnapping": carried,
    }
    clean: dict[str, Any] = plain(results)
    return clean


def write_tracking(results: dict[str, Any], path: Path) -> Path:
    """Write strict JSON, whole or not at all."""
    return write_text(path, json.dumps(results, indent=1, allow_nan=False) + "\n")


def format_tracking(results: dict[str, Any], metric: bool = True) -> str:
    """Two columns for the terminal: single frames, and with odometry."""
    single, tracked = results["single_frame"], results["with_odometry"]
    rows = [("", "single frame", "with odometry")]
    rows += [(name, show(single), show(tracked)) for name, show in _rows(metric)]
    left, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{a.ljust(left)}  {b.ljust(middle)}  {c}" for a, b, c in rows]
    lines.append("frames: " + ", ".join(f"{kind} {count}" for kind, count in results["decisions"].items()))
    return "\n".join([*lines, *_kidnapping_lines(results["kidnapping"])])


def _hidden(error: Array, covariance: Array, limit: float) -> bool:
    """A covariance that is none (NaN, negative along the error) claims nothing."""
    size = float(np.linalg.norm(error))
    if size <= limit:
        return False
    direction = error / size if np.isfinite(size) else np.zeros(3)
    variance = float(direction @ covariance @ direction)
    return not variance >= (CLAIMED_SHARE * size) ** 2


def _figures(records: Sequence[QueryRecord], facts: MapFacts, metric: bool, unit: float) -> dict[str, Any]:
    found = summarize(records, facts.info, metric=metric, reference_poses=facts.reference_poses)
    published = [r for r in records if r.localization.has_pose]
    false = Share(sum(is_false(r, unit) for r in published), len(published))
    hardest = found["by_difficulty"][3]
    kept = ("queries", "availability", "median_translation_m", "median_rotation_deg", "nees_median",
            "coverage_95", "coverage_95_interval", "coverage_count", "false_poses", "states")  # fmt: skip
    return {
        **{name: found[name] for name in kept},
        "false_claims": false.hits,
        "false_claims_share": false.value,
        "hardest_quartile": {name: hardest[name] for name in ("queries", "availability", "coverage_95")},
    }


def _kidnapping(run: TrackedRun, drive: SimulatedDrive, unit: float) -> dict[str, Any]:
    """Time from the first frame after the kidnapping to the first whose published pose is right again."""
    first = (run.kidnapped_after or 0) + 1
    after = run.tracked[first:]
    right = next((i for i, record in enumerate(after) if is_right(record, unit)), None)
    before_right = after[: len(after) if right is None else right]
    return {
        "metres": drive.kidnapping.metres,
        "degrees": np.degrees(drive.kidnapping.radians),
        "after_frame": run.kidnapped_after,
        "recovery_seconds": None if right is None else after[right].stamp - after[0].stamp,
        "recovery_frames": None if right is None else right,
        "false_claims_until_then": sum(is_false(record, unit) for record in before_right),
    }


def _rows(metric: bool) -> list[tuple[str, Any]]:
    return [
        ("availability", lambda f: words.percent(f["availability"])),
        ("median translation", lambda f: words.length(f["median_translation_m"], metric)),
        ("median rotation", lambda f: words.degrees(f["median_rotation_deg"])),
        ("false poses published", lambda f: f"{f['false_claims']} of {_published(f)}"),
        ("NEES coverage at 95 %", _coverage),
        ("in the hardest quartile", lambda f: words.percent(f["hardest_quartile"]["coverage_95"])),
    ]


def _coverage(figures: dict[str, Any]) -> str:
    return f"{words.percent(figures['coverage_95'])} ({words.interval(figures['coverage_95_interval'])})"


def _published(figures: dict[str, Any]) -> int:
    return int(figures["states"]["localized"] + figures["states"]["degraded"])


def _kidnapping_lines(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    if found["recovery_seconds"] is None:
        return ["kidnapped: never recovered"]
    return [
        f"kidnapped: right again after {found['recovery_seconds']:.2f} s, {found['recovery_frames']} frames, "
        f"{found['false_claims_until_then']} false poses until then"
    ]
