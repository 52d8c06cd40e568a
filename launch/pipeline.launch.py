"""ros2 launch relpose_ros pipeline.launch.py map:=office.relmap image:=/camera/image_raw

Retrieval, relative poses and, where its checkpoint is given, scene coordinates as nodes of their own, one
process each, beside the localizer.
"""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from relpose_ros.nodes import launching
from relpose_ros.nodes.launching import Given

ARGUMENTS: launching.Arguments = {
    **launching.INPUTS,
    **launching.MODELS,
    **launching.FRAMES,
    **launching.PROCESS,
}

CAMERA = ("camera_file", "image_transport", "qos_reliability", "use_sim_time")
"""Arguments for every node."""
MATCHING = ("map", "profile", "pruner", "matcher", "relative_checkpoint")
"""Arguments for relative_pose_node."""
SCENE = ("scene", "base_frame_id", "base_from_camera")
"""Arguments for scene_coordinate_node, whose checkpoint names the frame of its poses."""


def generate_launch_description() -> LaunchDescription:
    """All nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_everything)])


def make_everything(context: LaunchContext) -> list[object]:
    """The localizer, with the manager of all nodes if one is asked for, and the other nodes."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    share = FindPackageShare("relpose_ros")
    files = [launching.parameter_file(given, "")] if given["params_file"] else []
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([share, "launch", "localization.launch.py"])),
        launch_arguments={**given, "managed_nodes": managed_nodes(given)}.items(),
    )
    return [localization, *make_nodes(given, files)]


def managed_nodes(given: Given) -> str:
    """All nodes, in the order in which a manager brings them up."""
    return " ".join([*node_parameters(given), "localizer"])


def make_nodes(given: Given, files: list[str]) -> list[Node]:
    """retrieval_node, relative_pose_node, and scene_coordinate_node if it has a checkpoint."""
    return [
        Node(
            executable=f"{name}_node",
            name=name,
            parameters=[*files, parameters],
            remappings=[*launching.camera_remappings(given), ("neighbours", "retrieval/neighbours")],
            **launching.node_options(given),
        )
        for name, parameters in node_parameters(given).items()
    ]


def node_parameters(given: Given) -> dict[str, dict[str, object]]:
    """Name of each node that is wanted -> its parameters."""
    wanted: dict[str, tuple[str, ...]] = {
        "retrieval": ("map", "profile", "retrieval"),
        "relative_pose": MATCHING,
    }
    if given["scene"]:
        wanted["scene_coordinate"] = SCENE
    life = launching.starts_itself(given)
    return {name: life | launching.parameters(given, *CAMERA, *own) for name, own in wanted.items()}
