"""Numbers as a person reads them; a dash where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NONE = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """`96.3 %`."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A plain number with so many digits after the point."""
    return NONE if value is None else f"{value:.{digits}f}"


def length(value: float | None, metric: bool = True) -> str:
    """Millimetres, centimetres or metres as fits; bare map units for a map without metres."""
    if value is None:
        return NONE
    if not metric:
        return f"{value:.3g} units"
    if value < 0.01:
        return f"{1000 * value:.1f} mm"
    if value < 1:
        return f"{100 * value:.1f} cm"
    return f"{value:.2f} m" if value < 100 else f"{value:.0f} m"


def degrees(value: float | None) -> str:
    """`0.21°`."""
    return NONE if value is None else f"{value:.2f}°"


def milliseconds(value: float | None) -> str:
    """`81 ms`, with a digit more below ten."""
    if value is None:
        return NONE
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def size(count: float | None) -> str:
    """Bytes as kB or MB (powers of ten)."""
    if count is None:
        return NONE
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def interval(pair: Any, digits: int = 0) -> str:
    """`90 to 97 %`."""
    if not pair or pair[0] is None:
        return NONE
    return f"{100 * pair[0]:.{digits}f} to {100 * pair[1]:.{digits}f} %"


def reasons(counts: Mapping[str, int]) -> str:
    """`too dark (3); only … inliers (1)`."""
    return "; ".join(f"{reason} ({count})" for reason, count in counts.items())


def gate(key: str) -> str:
    """`0.05m_5deg` -> `5 cm, 5°`; `1pct_5deg` -> `1 % of the scene, 5°`."""
    distance, angle = key.split("_")
    turn = f"{angle.removesuffix('deg')}°"
    if distance.endswith("pct"):
        return f"{distance.removesuffix('pct')} % of scene, {turn}"
    metres = float(distance.removesuffix("m"))
    return f"{100 * metres:.0f} cm, {turn}" if metres < 1 else f"{metres:g} m, {turn}"


def shown_recall(results: Mapping[str, Any]) -> dict[str, float | None]:
    """The recalls that mean something for this map: in metres, or relative to its extent."""
    shown: dict[str, float | None] = results["recall"] if results["metric"] else results["recall_relative"]
    return shown
