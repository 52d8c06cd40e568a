"""The map and the localizer that a node's parameters ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relpose_ros.errors import ConfigurationError, MapError
from relpose_ros.nodes.messages import map_id
from relpose_ros.nodes.parameters import Parameter

MAP_PARAMETERS = (
    Parameter("map", "", "path of the map bundle (*.relmap); required"),
    Parameter("profile", "default", "what latency is traded for", choices=("default", "fast", "accurate")),
    Parameter("allow_unscaled_map", False, "accept a map that is not in metres (nor are its poses then)"),
)  # fmt: skip
"""Parameters of every node that reads a map."""

MATCHING_PARAMETERS = (
    Parameter("features.pruner", "", "checkpoint of a correspondence network that judges matches before "
              "the pose solvers see them; empty: none"),
)  # fmt: skip
"""Parameters of the nodes that match features."""


@dataclass(frozen=True)
class Loaded:
    """A localizer, its map, and the map's name in messages."""

    localizer: Any
    map: Any
    map_id: str


def load(settings: dict[str, Any]) -> Loaded:
    """Open the map and make the localizer.

    Raises ConfigurationError when no map is named, MapError when it is missing, broken, without
    scale, or made with features that this installation or profile does not use, CheckpointError when
    `features.pruner` is no pruner.
    """
    path = settings["map"]
    if not path:
        raise ConfigurationError(
            "parameter map: expected the path of a *.relmap file, got nothing; start with "
            "--ros-args -p map:=office.relmap, or `ros2 launch ... map:=office.relmap`"
        )
    from relpose_ros.maps.bundle import Map

    bundle = Map.open(path)
    info = bundle.info()
    if not info.get("metric", True) and not settings["allow_unscaled_map"]:
        raise MapError(
            f"{path}: expected a map in metres, but this one was built without scale; build it from "
            "a metric source, or set allow_unscaled_map if nobody takes its numbers for metres"
        )
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.localization.options import options_for

    options = options_for(settings["profile"], pruner=settings.get("features.pruner") or None)
    return Loaded(Localizer(bundle, options), bundle, map_id(info))
