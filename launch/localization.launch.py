"""ros2 launch relpose_ros localization.launch.py map:=office.relmap image:=/camera/image_raw

All roads in one process: the localizer, in AMCL's place.
"""

from __future__ import annotations

import importlib.util

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from relpose_ros.nodes import launching
from relpose_ros.nodes.launching import Given

ARGUMENTS: launching.Arguments = {
    **launching.INPUTS,
    "cameras": ("", "names of several cameras as one, between blanks; topics then have {camera} in them"),
    **launching.MODELS,
    **launching.FRAMES,
    **launching.PROCESS,
    "managed_nodes": ("localizer", "names of the nodes that the lifecycle manager brings up, in order"),
}


def generate_launch_description() -> LaunchDescription:
    """The localizer node, and beside it what is asked for."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_nodes)])


def make_nodes(context: LaunchContext) -> list[Node]:
    """The localizer, and the lifecycle manager and RViz if they are asked for."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    share = FindPackageShare("relpose_ros").perform(context)
    localizer = Node(
        executable="localizer_node",
        name="localizer",
        parameters=[launching.parameter_file(given, share), node_parameters(given)],
        remappings=launching.camera_remappings(given),
        **launching.node_options(given),
    )
    rviz = [Node(**launching.rviz_options(given, share))] if launching.flag(given, "use_rviz") else []
    return [localizer, *make_manager(given), *rviz]


def make_manager(given: Given) -> list[Node]:
    """A lifecycle manager, or nothing."""
    if not launching.flag(given, "use_lifecycle_manager"):
        return []
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_localization",  # whom Nav2's RViz panel asks
        namespace=given["namespace"],
        parameters=[manager_parameters(given)],
        arguments=["--ros-args", "--log-level", given["log_level"]],
        output="screen",
    )
    return [manager]


def manager_parameters(given: Given) -> dict[str, object]:
    """Of nav2_lifecycle_manager. It waits for heart-beats only where the nodes can send them."""
    return {
        "autostart": launching.flag(given, "autostart"),
        "node_names": given["managed_nodes"].split(),
        "bond_timeout": 4.0 if importlib.util.find_spec("bondpy") else 0.0,
        **launching.parameters(given, "use_sim_time"),
    }


def node_parameters(given: Given) -> dict[str, object]:
    """What the arguments say of the node's parameters."""
    return launching.starts_itself(given) | launching.parameters(given, *launching.PARAMETERS)
