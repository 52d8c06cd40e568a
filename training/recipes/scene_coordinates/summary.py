"""Numbers of tested images by scene, and for all of them: the columns of the published tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relpose_ros.evaluation import words
from relpose_ros.evaluation.consistency import coverage
from relpose_ros.evaluation.metrics import median
from relpose_ros.evaluation.pose_table import INDOOR, Gates, summarise_poses
from relpose_training.recipes.scene_coordinates.examination import ImageResult

Group = dict[str, Any]

ALL, MEAN = "all", "mean of scenes"


def summarise_results(results: Sequence[ImageResult], gates: Gates = INDOOR) -> Group:
    """Of one scene: what `summarise_poses` gives (an image without a pose is infinitely far off), `failures`,
    median error of the cells in metres and pixels, NEES of the raw covariances, median milliseconds."""
    poses = summarise_poses([r.translation_m for r in results], [r.rotation_deg for r in results], gates)
    known = [r.nees for r in results if not math.isnan(r.nees)]
    return {
        "queries": len(results),
        **poses,
        "failures": sum(r.estimate.pose is None for r in results),
        "ambiguous": sum(r.estimate.ambiguous for r in results),
        "reasons": dict(Counter(r.estimate.reason for r in results if r.estimate.reason).most_common(3)),
        "median_coordinate_m": _median([r.cell_error for r in results if r.cell_unit == "m"]),
        "median_cell_px": _median([r.cell_error for r in results if r.cell_unit == "px"]),
        "nees_mean": float(np.mean(known)) if known else None,
        "nees_coverage_95": coverage(np.array(known)).value if known else None,
        "network_ms": _median([r.network_ms for r in results]),
        "pose_ms": _median([r.pose_ms for r in results]),
    }


def group_results(scenes: Mapping[str, Sequence[ImageResult]], gates: Gates = INDOOR) -> dict[str, Group]:
    """A group for each scene and, of several: `all` images together, and the `mean of scenes`, which papers
    print (medians and shares of each scene weigh the same)."""
    groups = {name: summarise_results(results, gates) for name, results in scenes.items()}
    if len(groups) > 1:
        groups[ALL] = summarise_results([r for results in scenes.values() for r in results], gates)
        keys = [key for key in groups[ALL] if key.startswith(("median_", "recall_"))]
        members = [groups[name] for name in scenes]
        groups[MEAN] = {
            "queries": groups[ALL]["queries"],
            "failures": groups[ALL]["failures"],
            **{key: _mean([group[key] for group in members]) for key in keys},
        }
    return groups


def format_table(groups: Mapping[str, Group], metric: bool = True) -> str:
    """Text: a row for each group."""
    gates = [key for key in next(iter(groups.values())) if key.startswith("recall_")]
    head = ["scene", "images", "median", "median", *(words.gate(g.removeprefix("recall_")) for g in gates)]
    head += ["failures", "cells", "network", "pose"]
    lines = [head, *([name, *_cells(group, gates, metric)] for name, group in groups.items())]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def _cells(group: Group, gates: Sequence[str], metric: bool) -> list[str]:
    return [
        str(group["queries"]),
        words.length(_finite(group["median_translation_m"]), metric),
        words.degrees(_finite(group["median_rotation_deg"])),
        *(words.percent(_finite(group[gate])) for gate in gates),
        str(group["failures"]),
        _cell_error(group, metric),
        words.milliseconds(_finite(group.get("network_ms"))),
        words.milliseconds(_finite(group.get("pose_ms"))),
    ]


def _cell_error(group: Group, metric: bool) -> str:
    if group["median_coordinate_m"] is not None:
        return words.length(group["median_coordinate_m"], metric)
    return words.NONE if group["median_cell_px"] is None else f"{group['median_cell_px']:.1f} px"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _median(values: Sequence[float]) -> float | None:
    known = np.array([v for v in values if not math.isnan(v)])
    return float(median(known)) if len(known) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
