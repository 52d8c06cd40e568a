"""Recordings of several conditions (day, night, winter) in one map: what each brings, what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relpose_ros.errors import MapError
from relpose_ros.maps.bundle import UNNAMED, Map


@dataclass(frozen=True)
class ConditionFacts:
    """`landmarks`: seen by its references; `shared`: of those, seen by references of other conditions too."""

    name: str
    references: int
    landmarks: int
    shared: int


def shown_condition(condition: str) -> str:
    """A condition as people read it."""
    return condition or UNNAMED


def facts_by_condition(map_: Map) -> list[ConditionFacts]:
    """One row a condition, by name."""
    names = sorted(set(map_.conditions))
    seen = np.zeros((len(names), len(map_.landmarks)), np.bool_)
    for condition, visible in zip(map_.conditions, map_.visible, strict=True):
        seen[names.index(condition), visible] = True
    by_several = seen.sum(axis=0) > 1
    return [
        ConditionFacts(
            shown_condition(name),
            map_.conditions.count(name),
            int(row.sum()),
            int((row & by_several).sum()),
        )
        for name, row in zip(names, seen, strict=True)
    ]


def of_conditions(map_: Map, conditions: Sequence[str]) -> list[str]:
    """Names of the references of these conditions. Raises MapError for a condition that the map lacks."""
    wanted = {"" if c == UNNAMED else c for c in conditions}
    missing = sorted(wanted - set(map_.conditions))
    if missing:
        there = ", ".join(shown_condition(c) for c in sorted(set(map_.conditions)))
        raise MapError(
            f"map {map_.name!r} has no references of condition {', '.join(map(repr, missing))}; "
            f"expected one of: {there}"
        )
    return [n for n, c in zip(map_.reference_names, map_.conditions, strict=True) if c in wanted]
