"""Values out of a file that anybody may have written, read with distrust: what cannot be is refused in words.

All raise ValueError or TypeError; the caller says which file it was.
"""

from __future__ import annotations

import math
from typing import Any


def listed(name: str, value: Any, size: int | None = None) -> list[Any]:
    """A list, of `size` values if that is given."""
    if not isinstance(value, list | tuple) or (size is not None and len(value) != size):
        raise TypeError(f"{name}: expected a list{f' of {size}' if size else ''}, got {short(value)}")
    return list(value)


def numbers(name: str, value: Any, size: int) -> tuple[float, ...]:
    """`size` finite numbers."""
    found = tuple(number(name, v) for v in listed(name, value, size))
    if not all(math.isfinite(v) for v in found):
        raise ValueError(f"{name}: expected finite numbers, got {short(value)}")
    return found


def number(name: str, value: Any) -> float:
    """A number; infinities pass."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: expected a number, got {short(value)}")
    return float(value)


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, got {short(value)}")
    return value


def text(name: str, value: Any) -> str:
    """A text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name}: expected a text, got {short(value)}")
    return value


def short(value: Any) -> str:
    """A value as a message can show it."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
