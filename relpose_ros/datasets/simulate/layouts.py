"""From a world's name to its plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from relpose_ros.datasets.simulate.corridor import corridor
from relpose_ros.datasets.simulate.doors import doors
from relpose_ros.datasets.simulate.office import office
from relpose_ros.datasets.simulate.rooms import rooms
from relpose_ros.datasets.simulate.world import Plan

LAYOUTS: dict[str, Callable[[int], Plan]] = {
    "office": office,
    "rooms": rooms,
    "corridor": corridor,
    "equal_doors": partial(doors, distinct="none"),
    "numbered_doors": partial(doors, distinct="little"),
    "varied_doors": partial(doors, distinct="much"),
}
"""By `options.WORLDS`: seed -> plan."""
