"""ros2 launch relpose_ros pipeline.launch.py map:=office.relmap image:=/camera/image_raw

Retrieval, relative poses and, where its checkpoint is given, scene coordinates as nodes of their own, one
process each, beside the localizer.
"""

from __future__ import annotations

import os

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]

ARGUMENTS = {
    "map": (None, "path of the map bundle (*.relmap)"),
    "image": ("/camera/image_raw", "image topic"),
    "camera_info": ("", "CameraInfo topic; default: camera_info beside the image topic"),
    "profile": ("default", "default, fast or accurate"),
    "pruner": ("", "checkpoint of a correspondence network (features.pruner); default: none"),
    "matcher": ("", "checkpoint of a graph matcher, IMP or EIMP (features.matcher); default: none"),
    "relative_checkpoint": ("", "network that regresses relative poses (relative.checkpoint); default: none"),
    "retrieval": ("", "what the map was built with (retrieval.checkpoint); default: the map's own VLAD"),
    "scene": ("", "checkpoint of a scene-coordinate network (scene.checkpoint); default: none"),
    "odom_frame_id": ("odom", "frame of odometry; none for single-frame poses alone"),
    "tf_broadcast": ("true", "publish the transform map -> odom_frame_id"),
    "autostart": ("true", "configure and activate at start; false: somebody else does it"),
    "use_lifecycle_manager": ("false", "start a nav2_lifecycle_manager, which then does it (needs Nav2)"),
    "use_sim_time": ("false", "take time from /clock"),
}
"""Launch argument -> default (None: required), description."""


def generate_launch_description() -> LaunchDescription:
    """All nodes."""
    declared = [
        DeclareLaunchArgument(
            name, description=text, **({} if default is None else {"default_value": default})
        )
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_everything)])


def make_everything(context: LaunchContext) -> list[object]:
    """The localizer, with the manager of all nodes if one is asked for, and the other nodes."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare("relpose_ros"), "launch", "localization.launch.py"])
        ),
        launch_arguments={**given, "managed_nodes": managed_nodes(given)}.items(),
    )
    return [localization, *make_nodes(given)]


def managed_nodes(given: dict[str, str]) -> str:
    """All nodes, in the order in which a manager brings them up."""
    return " ".join([*node_parameters(given), "localizer"])


def make_nodes(given: dict[str, str]) -> list[Node]:
    """retrieval_node, relative_pose_node, and scene_coordinate_node if it has a checkpoint."""
    camera_info = given["camera_info"] or given["image"].rsplit("/", 1)[0] + "/camera_info"
    remappings = [
        ("image", given["image"]),
        ("camera_info", camera_info),
        ("neighbours", "retrieval/neighbours"),
    ]
    return [
        Node(
            package="relpose_ros",
            executable=f"{name}_node",
            name=name,
            parameters=[parameters],
            remappings=remappings,
            output="screen",
        )
        for name, parameters in node_parameters(given).items()
    ]


def node_parameters(given: dict[str, str]) -> dict[str, dict[str, object]]:
    """Name of each node that is wanted -> its parameters."""
    by_itself = given["autostart"] == "true" and given["use_lifecycle_manager"] != "true"
    common: dict[str, object] = {"use_sim_time": given["use_sim_time"] == "true", "autostart": by_itself}
    mapped = common | {"map": _absolute(given["map"]), "profile": given["profile"]}
    named = {f"features.{name}": given[name] for name in ("pruner", "matcher")}
    matching = {parameter: _absolute(path) for parameter, path in named.items() if path}
    describing = {"retrieval.checkpoint": _absolute(given["retrieval"])} if given["retrieval"] else {}
    if given["relative_checkpoint"]:
        matching |= {"relative.estimator": "relpose_gnn"}
        matching |= {"relative.checkpoint": _absolute(given["relative_checkpoint"])}
    nodes = {"retrieval": mapped | describing, "relative_pose": mapped | matching}
    if given["scene"]:
        nodes["scene_coordinate"] = common | {"scene.checkpoint": _absolute(given["scene"])}
    return nodes


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
