"""The columns by which papers compare poses of single images: medians, and shares within gates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from relpose_ros.evaluation import words
from relpose_ros.evaluation.metrics import median, share

Gates = Mapping[str, tuple[float, float]]
Row = Mapping[str, Any]

INDOOR: Gates = {"0.05m_5deg": (0.05, 5.0), "0.02m_2deg": (0.02, 2.0), "0.01m_1deg": (0.01, 1.0)}
"""Key -> (metres, degrees): 7-Scenes and 12-Scenes (DSAC*)."""

AERIAL: Gates = {"5m_5deg": (5.0, 5.0), "10m_7deg": (10.0, 7.0), "20m_10deg": (20.0, 10.0)}
"""The same of EPFL and comballaz (CrossLoc)."""

NOTHING: Mapping[str, Callable[[Row], str]] = {}


def summarise_poses(
    translation: ArrayLike, rotation_deg: ArrayLike, gates: Gates = INDOOR
) -> dict[str, float]:
    """`median_translation_m`, `median_rotation_deg`, `mean_...` of the same, and `recall_KEY` of each gate.

    `translation`, `rotation_deg` (N,): errors, infinite where there is no pose. A query is within a gate
    when both errors are strictly below. NaN for no queries; means are infinite when one error is.
    """
    far, turned = np.asarray(translation, float), np.asarray(rotation_deg, float)
    return {
        "median_translation_m": median(far),
        "median_rotation_deg": median(turned),
        "mean_translation_m": float(far.mean()) if len(far) else math.nan,
        "mean_rotation_deg": float(turned.mean()) if len(turned) else math.nan,
        **{f"recall_{key}": share((far < near) & (turned < angle)) for key, (near, angle) in gates.items()},
    }


def format_pose_table(
    rows: Mapping[str, Row], metric: bool = True, extra: Mapping[str, Callable[[Row], str]] = NOTHING
) -> str:
    """Text: a row for each name, with what `summarise_poses` gave and, where it is there, `queries`.

    `extra`: heading -> what a row has in that column, which comes after the others.
    """
    keys = [key for key in next(iter(rows.values())) if key.startswith("recall_")]
    gates = [words.gate(key.removeprefix("recall_")) for key in keys]
    lines = [["", "images", "median", "median", *gates, *extra]]
    for name, row in rows.items():
        lines.append([name, *_cells(row, keys, metric), *(cell(row) for cell in extra.values())])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _cells(row: Row, keys: list[str], metric: bool) -> list[str]:
    return [
        str(row.get("queries", words.NONE)),
        words.length(_finite(row["median_translation_m"]), metric),
        words.degrees(_finite(row["median_rotation_deg"])),
        *(words.percent(_finite(row[key])) for key in keys),
    ]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
