"""Percentiles of the time that each stage took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from relpose_ros.evaluation.records import QueryRecord

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}


def latency_table(records: Sequence[QueryRecord]) -> dict[str, dict[str, Any]]:
    """Stage -> `count, p50, p95, p99` in milliseconds over the frames in which the stage ran.

    `total` comes first and is always there (NaN when nothing was timed). Times that are not
    finite are left out. Percentiles interpolate linearly between neighbours.
    """
    samples: dict[str, list[float]] = {"total": []}
    for record in records:
        for stage, milliseconds in record.localization.latency_ms.items():
            if math.isfinite(milliseconds):
                samples.setdefault(stage, []).append(float(milliseconds))
    return {stage: _summary(values) for stage, values in samples.items()}


def _summary(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"count": 0, **dict.fromkeys(PERCENTILES, math.nan)}
    return {
        "count": len(values),
        **{k: float(np.percentile(values, p)) for k, p in PERCENTILES.items()},
    }
