"""The scene in a checkpoint's header, read with distrust: numbers that cannot be are refused in words."""

from __future__ import annotations

import math
from typing import Any

from relpose_ros.checkpoints.header_values import listed, number, numbers, short, whole

MAX_VIEWS = 300
"""Training cameras that a header keeps."""

_RANGES = {"height": (16, 4096), "cell": (1, 64), "channels": (1, 3)}
_KINDS: dict[str, type] = {"frame": str, "metric": bool, "calibration": dict}


def parse_scene(values: dict[str, Any]) -> dict[str, Any]:
    """The JSON values of a scene as arguments of `SceneInfo`. Raises ValueError or TypeError in words."""
    out: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        if name in values:
            if not isinstance(values[name], kind):
                raise TypeError(f"{name}: expected {kind.__name__}, got {values[name]!r}")
            out[name] = values[name]
    for name, (low, high) in _RANGES.items():
        if name in values:
            out[name] = whole(name, values[name], low, high)
    out |= _vectors(values, out.get("channels", 1))
    _check_calibration(out.get("calibration", {}))
    if out.get("frame", "map").strip() == "":
        raise ValueError("frame: expected a name, got nothing")
    return out


def _vectors(values: dict[str, Any], channels: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if channels == 2:
        raise ValueError("channels: expected 1 (luma) or 3 (RGB), got 2")
    for name, size in (("origin", 3), ("mean", channels), ("spread", channels)):
        if name in values:
            out[name] = numbers(name, values[name], size)
    if channels == 3 and not ("mean" in out and "spread" in out):
        raise ValueError("mean and spread: expected three numbers each for three channels, got none")
    if min(out.get("spread", (1.0,))) <= 0:
        raise ValueError(f"spread: expected numbers above 0, got {out['spread']}")
    if "bounds" in values:
        low, high = (numbers("bounds", corner, 3) for corner in listed("bounds", values["bounds"], 2))
        if any(a > b for a, b in zip(low, high, strict=True)):
            raise ValueError(f"bounds: the low corner {low} is above the high one {high}")
        out["bounds"] = (low, high)
    if "views" in values:
        views = listed("views", values["views"])
        if len(views) > MAX_VIEWS:
            raise ValueError(f"views: expected at most {MAX_VIEWS}, got {len(views)}")
        out["views"] = tuple(numbers("views", view, 6) for view in views)
    return out


def _check_calibration(values: dict[str, Any]) -> None:
    for name, value in values.items():
        found = 0.0 if value is None else number(f"calibration.{name}", value)
        if not (math.isfinite(found) and found >= 0):
            raise ValueError(f"calibration.{name}: expected a number from 0, got {short(value)}")
