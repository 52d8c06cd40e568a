"""The map, the scene and the localizer that a node's parameters ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import CheckpointError, ConfigurationError, MapError
from relpose_ros.nodes.messages import map_id
from relpose_ros.nodes.parameters import Parameter

if TYPE_CHECKING:
    from relpose_ros.checkpoints.scene import SceneInfo

ALLOW_UNSCALED = Parameter(
    "allow_unscaled_map", False, "accept a map or scene that is not in metres (nor are its poses then)"
)

MAP_PARAMETERS = (
    Parameter("map", "", "path of the map bundle (*.relmap); required"),
    Parameter("profile", "default", "what latency is traded for", choices=("default", "fast", "accurate")),
    ALLOW_UNSCALED,
)  # fmt: skip
"""Parameters of every node that reads a map."""

MATCHING_PARAMETERS = (
    Parameter("features.pruner", "", "checkpoint of a correspondence network that judges matches before "
              "the pose solvers see them; empty: none"),
    Parameter("features.matcher", "", "checkpoint (imp.*) of a graph network that matches where nearest "
              "neighbours find too little; empty: none"),
    Parameter("features.matcher_iterations", 0, "iterations of that network: few when tracking, all when "
              "lost; 0: as many as the profile has (fast: 4, others: all)"),
    Parameter("features.matcher_backend", "auto", "what does those iterations: ONNX Runtime, whose files are "
              "made at the first start; torch; or auto: ONNX Runtime where it is installed and `relpose "
              "checkpoint export` has made the files, else torch", choices=("auto", "onnxruntime", "torch")),
)  # fmt: skip
"""Parameters of the nodes that match features."""

RELATIVE_PARAMETERS = (
    Parameter("relative.estimator", "essential", "by what relative poses to references are found: matches "
              "and essential matrix, or the network of relative.checkpoint",
              choices=("essential", "relpose_gnn")),
    Parameter("relative.checkpoint", "", "checkpoint (relpose_gnn.*) of a network that was attached to the "
              "map; for relpose_gnn alone"),
)  # fmt: skip
"""Parameters of the nodes that measure relative poses."""

RETRIEVAL_PARAMETERS = (
    Parameter("retrieval.checkpoint", "", "retrieval checkpoint, or YAML of a plugged-in model, that the map "
              "was built with; empty: the map's VLAD, which needs none"),
)  # fmt: skip
"""Parameters of the nodes that retrieve references."""

SCENE_PARAMETERS = (
    Parameter("scene.checkpoint", "", "checkpoint of a scene-coordinate network of the map's place, whose "
              "hypotheses the arbiter takes beside the others; empty: none"),
)  # fmt: skip
"""Parameters of the nodes that may ask a scene-coordinate network too."""


@dataclass(frozen=True)
class Loaded:
    """A localizer, its map, the map's name in messages, the file name of its scene's checkpoint, what
    describes images, and whether the map is in metres."""

    localizer: Any
    map: Any
    map_id: str
    scene: str = ""
    describer: str = ""
    metric: bool = True


@dataclass(frozen=True)
class LoadedScene:
    """A localizer that needs no map, what its checkpoint says of the scene, and the checkpoint's name."""

    localizer: Any
    info: SceneInfo
    name: str
    digest: str


def load(settings: dict[str, Any]) -> Loaded:
    """Open the map and make the localizer. Without `retrieval.checkpoint` among the settings it is one that
    does not retrieve.

    Raises ConfigurationError when no map is named, MapError when it is missing, broken, without
    scale, or made with features that this installation or profile does not use, CheckpointError when
    `features.pruner` is no pruner, or `features.matcher` no matcher for the map's features, or
    `relative.checkpoint` not the network that the map keeps descriptors for, or
    `scene.checkpoint` none of a scene in the map's frame, or `retrieval.checkpoint` not what the map was
    built with.
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
    changes: dict[str, Any] = {"pruner": settings.get("features.pruner") or None}
    changes["matcher"] = settings.get("features.matcher") or None
    changes["relative_estimator"] = settings.get("relative.estimator", "essential")
    changes["relative_checkpoint"] = settings.get("relative.checkpoint") or None
    if settings.get("features.matcher_iterations"):
        changes["matcher_iterations"] = settings["features.matcher_iterations"]
    changes["matcher_backend"] = settings.get("features.matcher_backend", "auto")
    if settings.get("scene.checkpoint"):
        _check_frame(_scene_info(settings), settings)
        changes["scene"] = settings["scene.checkpoint"]
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.localization.options import options_for
    from relpose_ros.retrieval.describer import Elsewhere

    retrieves = "retrieval.checkpoint" in settings
    if retrieves:
        changes["retrieval"] = settings["retrieval.checkpoint"] or None
    options = options_for(settings["profile"], **changes)
    scene = Path(settings.get("scene.checkpoint", "")).name
    elsewhere = None if retrieves else Elsewhere(bundle.described_by)
    localizer = Localizer(bundle, options, describer=elsewhere)
    describer = str(localizer.described_by) if retrieves else ""
    return Loaded(localizer, bundle, map_id(info), scene, describer, bool(info.get("metric", True)))


def load_scene(settings: dict[str, Any]) -> LoadedScene:
    """Make the localizer of a scene's checkpoint.

    Raises ConfigurationError when none is named, CheckpointError when it is missing, broken, none of a
    scene, or one without scale.
    """
    path = settings["scene.checkpoint"]
    if not path:
        raise ConfigurationError(
            "parameter scene.checkpoint: expected the path of a *.safetensors file, got nothing; start with "
            "--ros-args -p scene.checkpoint:=office.safetensors (`relpose train scene_coordinates` makes one)"
        )
    info = _scene_info(settings)
    from relpose_ros.localization.scene_coordinates import SceneLocalizer

    localizer = SceneLocalizer(path)
    return LoadedScene(localizer, info, Path(path).name, localizer.predictor.identity)


def _scene_info(settings: dict[str, Any]) -> SceneInfo:
    """What `scene.checkpoint` says of its scene. Raises CheckpointError if it says nothing, or no scale."""
    from relpose_ros.checkpoints.format import read_info
    from relpose_ros.checkpoints.scene import SceneInfo

    path = settings["scene.checkpoint"]
    info = SceneInfo.of(read_info(path), path)
    if not info.metric and not settings["allow_unscaled_map"]:
        raise CheckpointError(
            f"{path}: expected a scene in metres, but this one was trained without scale; train on a metric "
            "source, or set allow_unscaled_map if nobody takes its numbers for metres"
        )
    return info


def _check_frame(info: SceneInfo, settings: dict[str, Any]) -> None:
    """The roads of one node must speak of one frame. Raises CheckpointError with both names."""
    if info.frame != settings["global_frame_id"]:
        raise CheckpointError(
            f"{settings['scene.checkpoint']}: its scene lies in the frame {info.frame!r}, but the map "
            f"{settings['map']} in {settings['global_frame_id']!r} (global_frame_id); train it on images "
            "posed in the map's frame, or start scene_coordinate_node beside"
        )
