"""What the launch files have in common: their arguments, and what these mean for a node. Needs no `launch`.

An argument that is a parameter is empty by default: then the parameter file has its say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relpose_ros.errors import ConfigurationError
from relpose_ros.nodes.environment import find_profile, profile_variable

Arguments = dict[str, tuple[str | None, str]]
"""Launch argument -> default (None: required), description."""
Given = Mapping[str, str]
"""Launch argument -> what it is in this launch."""

INPUTS: Arguments = {
    "map": (None, "path of the map bundle (*.relmap)"),
    "image": (
        "/camera/image_raw",
        "image topic (the raw one; with image_transport compressed, /compressed beside it)",
    ),
    "camera_info": ("", "CameraInfo topic; empty: camera_info beside the image topic"),
    "camera_file": ("", "camera-info YAML used instead of that topic; empty: as params_file has it"),
    "image_transport": ("", "raw or compressed; empty: as params_file has it (raw)"),
    "qos_reliability": ("", "best_effort or reliable; empty: as params_file has it (best_effort)"),
}
"""What is listened to."""

MODELS: Arguments = {
    "profile": ("", "default, fast or accurate; empty: as params_file has it (default)"),
    "pruner": ("", "checkpoint of a correspondence network (features.pruner); empty: params_file's, if any"),
    "matcher": (
        "",
        "checkpoint of a graph matcher, IMP or EIMP (features.matcher); empty: params_file's, if any",
    ),
    "relative_checkpoint": (
        "",
        "network that regresses relative poses (relative.checkpoint); empty: params_file's, if any",
    ),
    "retrieval": ("", "what the map was built with (retrieval.checkpoint); empty: the map's own VLAD"),
    "scene": (
        "",
        "checkpoint of a scene-coordinate network (scene.checkpoint); empty: params_file's, if any",
    ),
}
"""By what it is localized."""

FRAMES: Arguments = {
    "global_frame_id": ("", "frame of the map; empty: as params_file has it (map)"),
    "base_frame_id": ("", "whose pose is published, none: the camera's own; empty: as params_file has it "
                      "(base_link)"),
    "odom_frame_id": ("", "frame of odometry, none: single-frame poses alone; empty: as params_file has it "
                      "(odom)"),
    "tf_broadcast": ("", "whether global_frame_id -> odom_frame_id is published; empty: as params_file has "
                     "it (true)"),
    "base_from_camera": ("", "mount as 'x y z qx qy qz qw', one after the other for several cameras; empty: "
                         "as params_file has it (from TF)"),
}  # fmt: skip
"""Of the localizer."""

RVIZ: Arguments = {
    "use_rviz": ("false", "start RViz beside"),
    "rviz_config": ("", "RViz configuration; empty: config/localization.rviz of this package"),
}

PROCESS: Arguments = {
    "params_file": ("", "parameter file, with sections /** or /**/localizer; empty: config/localizer.yaml"),
    "namespace": ("", "namespace of the nodes, of their topics, and of tf, as Nav2 has it"),
    "use_sim_time": ("", "take time from /clock; empty: as params_file has it (false)"),
    "autostart": ("true", "configure and activate at start; false: somebody else does it"),
    "use_lifecycle_manager": ("false", "start a nav2_lifecycle_manager, which then does it (needs Nav2)"),
    "use_respawn": ("false", "start a node that has ended again, two seconds later"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "shared_memory": ("true", "use the Fast DDS profile that carries large images (unless one is set)"),
    **RVIZ,
}
"""How processes run."""

FILES = {
    "map": "map",
    "pruner": "features.pruner",
    "matcher": "features.matcher",
    "relative_checkpoint": "relative.checkpoint",
    "retrieval": "retrieval.checkpoint",
    "scene": "scene.checkpoint",
    "camera_file": "camera_file",
}
"""Arguments that name files -> parameter."""

WORDS = ("image_transport", "qos_reliability", "profile", "global_frame_id", "base_frame_id", "odom_frame_id")
"""Arguments that are parameters as they are; `none` is the empty string."""
FLAGS = ("use_sim_time", "tf_broadcast")
"""The same, true or false."""
PARAMETERS = (*FILES, *WORDS, *FLAGS, "base_from_camera", "cameras")
"""Arguments that say something of parameters."""

TF_REMAPPINGS = [("/tf", "tf"), ("/tf_static", "tf_static")]
"""As in Nav2's launch files: with a namespace TF is inside of it, without one nothing changes."""


def parameters(given: Given, *wanted: str) -> dict[str, Any]:
    """The arguments among `wanted` that say something, as parameters of their types.

    Raises ConfigurationError for what is none.
    """
    out: dict[str, Any] = {}
    for name in (name for name in wanted if given.get(name)):
        if name in FILES:
            out[FILES[name]] = absolute(given[name])
        elif name in FLAGS:
            out[name] = flag(given, name)
        elif name == "base_from_camera":
            out[name] = numbers(given, name)
        elif name == "cameras":
            out[name] = given[name].split()
        else:
            out[name] = "" if given[name] == "none" else given[name]
    if "relative.checkpoint" in out:
        out["relative.estimator"] = "relpose_gnn"
    return out


def starts_itself(given: Given) -> dict[str, bool]:
    """Parameter `autostart`: a manager that is started beside does it for the node."""
    return {"autostart": flag(given, "autostart") and not flag(given, "use_lifecycle_manager")}


def flag(given: Given, name: str) -> bool:
    """A truth value in the words that `launch` takes for one. Raises ConfigurationError."""
    words = {"true": True, "1": True, "false": False, "0": False}
    try:
        return words[given[name].strip().lower()]
    except KeyError:
        raise ConfigurationError(
            f"launch argument {name}: expected true or false, got {given[name]!r}"
        ) from None


def numbers(given: Given, name: str) -> list[float]:
    """Numbers between blanks. Raises ConfigurationError."""
    try:
        return [float(word) for word in given[name].split()]
    except ValueError as error:
        raise ConfigurationError(f"launch argument {name}: expected numbers: {error}") from error


def absolute(path: str) -> str:
    """A path as the shell would read it: `~` is home, and relative is to where `ros2 launch` was called."""
    return os.path.abspath(os.path.expanduser(path))


def parameter_file(given: Given, share: str) -> str:
    """`params_file`, or ours from the package's share folder. Raises ConfigurationError if it is missing,
    where `launch` would go on without."""
    return _file(given, "params_file", os.path.join(share, "config", "localizer.yaml"))


def camera_remappings(given: Given) -> list[tuple[str, str]]:
    """Where image and camera info come from: the info where drivers put it, beside the image, and TF.

    With `cameras`, `{camera}` in a topic stands for the name of each. Raises ConfigurationError where it is
    missing.
    """
    names = given.get("cameras", "").split()
    if names and "{camera}" not in given["image"]:
        raise ConfigurationError(
            "launch argument image: with cameras expected {camera} in it, as in /{camera}/image_raw, "
            f"got {given['image']!r}"
        )
    beside = "/".join([*given["image"].split("/")[:-1], "camera_info"])
    topics = {"image": given["image"], "camera_info": given["camera_info"] or beside}
    ours = [(topic, theirs) for topic, theirs in topics.items() if not names]
    ours += [(f"{n}/{t}", theirs.replace("{camera}", n)) for n in names for t, theirs in topics.items()]
    return [*ours, *TF_REMAPPINGS]


def node_options(given: Given) -> dict[str, Any]:
    """What launch_ros's Node takes, as far as it is the same for all nodes of this package."""
    return {
        "package": "relpose_ros",
        "namespace": given["namespace"],
        "output": "screen",
        "respawn": flag(given, "use_respawn"),
        "respawn_delay": 2.0,
        "sigterm_timeout": "10",  # a node waits up to 5 s for the frame in work
        "arguments": ["--ros-args", "--log-level", given["log_level"]],
        "additional_env": dds_profile(given),
    }


def rviz_options(given: Given, share: str) -> dict[str, Any]:
    """What launch_ros's Node takes for RViz; topics in its configuration are relative to the namespace."""
    config = _file(given, "rviz_config", os.path.join(share, "config", "localization.rviz"))
    return {
        "package": "rviz2",
        "executable": "rviz2",
        "namespace": given["namespace"],
        "output": "screen",
        "arguments": ["-d", config],
        "parameters": [{"use_sim_time": bool(given["use_sim_time"]) and flag(given, "use_sim_time")}],
        "remappings": TF_REMAPPINGS,
        "additional_env": dds_profile(given),
    }


def dds_profile(given: Given) -> dict[str, str]:
    """Variables for shared memory that fits images, unless the user has a profile."""
    variable, profile = profile_variable(), find_profile()
    if not flag(given, "shared_memory") or variable in os.environ or profile is None:
        return {}
    return {variable: str(profile)}


def _file(given: Given, name: str, default: str) -> str:
    path = Path(absolute(given[name])) if given[name] else Path(default)
    if not path.is_file():
        raise ConfigurationError(f"launch argument {name}: expected a file, got {str(path)!r}")
    return str(path)
