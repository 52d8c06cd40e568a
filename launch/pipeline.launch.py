"""ros2 launch relpose_ros pipeline.launch.py map:=office.relmap image:=/camera/image_raw

Retrieval and relative poses as nodes of their own, one process each, beside the localizer.
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
    "use_sim_time": ("false", "take time from /clock"),
}
"""Launch argument -> default (None: required), description."""


def generate_launch_description() -> LaunchDescription:
    """All three nodes."""
    declared = [
        DeclareLaunchArgument(
            name, description=text, **({} if default is None else {"default_value": default})
        )
        for name, (default, text) in ARGUMENTS.items()
    ]
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare("relpose_ros"), "launch", "localization.launch.py"])
        ),
        launch_arguments={name: LaunchConfiguration(name) for name in ARGUMENTS}.items(),
    )
    return LaunchDescription([*declared, localization, OpaqueFunction(function=make_nodes)])


def make_nodes(context: LaunchContext) -> list[Node]:
    """retrieval_node and relative_pose_node."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    parameters = {
        "map": os.path.abspath(os.path.expanduser(given["map"])),
        "profile": given["profile"],
        "use_sim_time": given["use_sim_time"] == "true",
    }
    if given["pruner"]:
        parameters["features.pruner"] = os.path.abspath(os.path.expanduser(given["pruner"]))
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
        for name in ("retrieval", "relative_pose")
    ]
