"""The scene in a checkpoint's header, read with distrust: numbers that cannot be are refused in words."""

from __future__ import annotations

import math
from typing import Any

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
            out[name] = _whole(name, values[name], low, high)
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
            out[name] = _numbers(name, values[name], size)
    if channels == 3 and not ("mean" in out and "spread" in out):
        raise ValueError("mean and spread: expected three numbers each for three channels, got none")
    if min(out.get("spread", (1.0,))) <= 0:
        raise ValueError(f"spread: expected numbers above 0, got {out['spread']}")
    if "bounds" in values:
        low, high = (_numbers("bounds", corner, 3) for corner in _list("bounds", values["bounds"], 2))
        if any(a > b for a, b in zip(low, high, strict=True)):
            raise ValueError(f"bounds: the low corner {low} is above the high one {high}")
        out["bounds"] = (low, high)
    if "views" in values:
        views = _list("views", values["views"])
        if len(views) > MAX_VIEWS:
            raise ValueError(f"views: expected at most {MAX_VIEWS}, got {len(views)}")
        out["views"] = tuple(_numbers("views", view, 6) for view in views)
    return out


def _list(name: str, value: Any, size: int | None = None) -> list[Any]:
    if not isinstance(value, list | tuple) or (size is not None and len(value) != size):
        raise TypeError(f"{name}: expected a list{f' of {size}' if size else ''}, got {_short(value)}")
    return list(value)


def _numbers(name: str, value: Any, size: int) -> tuple[float, ...]:
    numbers = tuple(_number(name, v) for v in _list(name, value, size))
    if not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"{name}: expected finite numbers, got {_short(value)}")
    return numbers


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: expected a number, got {_short(value)}")
    return float(value)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, got {_short(value)}")
    return value


def _check_calibration(values: dict[str, Any]) -> None:
    for name, value in values.items():
        number = 0.0 if value is None else _number(f"calibration.{name}", value)
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"calibration.{name}: expected a number from 0, got {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
