"""Trajectories in the TUM RGB-D format: `timestamp tx ty tz qx qy qz qw`, as `evo` reads them.

https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.evaluation.files import write_text
from relpose_ros.evaluation.records import QueryRecord, is_finite
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


def record_stamps(records: Sequence[QueryRecord]) -> Array:
    """Seconds (N,) that tell the records apart: their stamps, or 0, 1, 2, ... where stamps repeat."""
    stamps = np.array([r.stamp for r in records], float)
    if np.isfinite(stamps).all() and len(np.unique(stamps)) == len(stamps):
        return stamps
    return np.arange(len(records), dtype=float)


def write_tum(path: Path, stamps: ArrayLike, poses: Sequence[Rigid]) -> Path:
    """Write poses (target_from_source each) in order of time. An empty trajectory is a comment."""
    times = np.asarray(stamps, float)
    if len(times) != len(poses):
        raise ValueError(f"expected a stamp for each pose, got {len(times)} stamps and {len(poses)} poses")
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for index in np.argsort(times, kind="stable"):
        numbers = (*poses[index].translation, *poses[index].rotation_xyzw)
        lines.append(f"{times[index]:.9f} " + " ".join(f"{n:.9f}" for n in numbers))
    return write_text(path, "\n".join(lines) + "\n")


def read_tum(path: Path) -> tuple[Array, Rigid]:
    """Stamps (N,) and batched poses (N). Raises DatasetError for a line that is not a pose."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected a TUM trajectory, a text file ({error})") from error
    rows = [
        _row(path, number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    table = np.array(rows, float).reshape(-1, 8)
    if not len(table):
        return np.zeros(0), Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3)))
    return table[:, 0], Rigid.from_quaternion(table[:, 4:], table[:, 1:4])


def write_trajectories(records: Sequence[QueryRecord], folder: Path) -> tuple[Path, Path]:
    """Write `estimate.tum` (published, finite poses) and `ground_truth.tum` (known truths)."""
    stamps = record_stamps(records)
    estimates = [r.localization.map_from_camera for r in records]
    truths = [r.ground_truth for r in records]
    return (
        _write_known(Path(folder) / "estimate.tum", stamps, estimates),
        _write_known(Path(folder) / "ground_truth.tum", stamps, truths),
    )


def _write_known(path: Path, stamps: Array, poses: Sequence[Rigid | None]) -> Path:
    known = [(s, p) for s, p in zip(stamps, poses, strict=True) if p is not None and is_finite(p)]
    return write_tum(path, [s for s, _ in known], [p for _, p in known])


def _row(path: Path, number: int, line: str) -> list[float]:
    try:
        row = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        row = []
    good = len(row) == 8 and np.isfinite(row).all() and np.linalg.norm(row[4:]) > 1e-6
    if not good:
        raise DatasetError(
            f"{path}:{number}: expected 'timestamp tx ty tz qx qy qz qw' with a quaternion "
            f"that is not zero, got {line.strip()[:80]!r}"
        )
    return row
