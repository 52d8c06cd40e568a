"""One thing that a look into a map found, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

NAMED = 5
"""So many references are named in a sentence; `references` has all."""


class Grade(StrEnum):
    """`PROBLEM`: the map must not be used like this; `WARNING`: it works worse or less surely than it could;
    `NOTE`: worth knowing."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """`what` was found, about which `references`, and the `advice`."""

    grade: Grade
    what: str
    advice: str
    references: tuple[str, ...] = ()


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
