"""Is a map whole, does it make sense, and what would make it better? What `relpose map check` lists."""

from __future__ import annotations

from pathlib import Path

from relpose_ros.errors import MapError
from relpose_ros.maps import check_geometry, check_use
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.finding import Finding, Grade
from relpose_ros.maps.storage import read_map, refuse_missing

ORDER = (Grade.PROBLEM, Grade.WARNING, Grade.NOTE)


def check_file(path: Path) -> tuple[Map | None, list[Finding]]:
    """The map, every block of which was read and checked, or None; and what was found, the worst first.

    Raises MapError where there is no file at all.
    """
    refuse_missing(path)
    try:
        map_ = read_map(path, lazy=False)
    except MapError as error:
        advice = "copy it again from where it was made, or build it again"
        return None, [Finding(Grade.PROBLEM, str(error), advice)]
    return map_, check_map(map_)


def check_map(map_: Map) -> list[Finding]:
    """What was found in a map in memory, the worst first."""
    broken = check_geometry.numbers(map_)
    if broken:  # nothing can be derived from what is not a number
        return broken
    found = [*check_geometry.findings(map_), *check_use.findings(map_)]
    return sorted(found, key=lambda f: ORDER.index(f.grade))


def is_healthy(found: list[Finding]) -> bool:
    """Whether none of the findings is a problem."""
    return all(f.grade is not Grade.PROBLEM for f in found)
