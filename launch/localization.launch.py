"""ros2 launch relpose_ros localization.launch.py map:=office.relmap image:=/camera/image_raw"""

from __future__ import annotations

import importlib.util
import os

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]

ARGUMENTS = {
    "map": (None, "path of the map bundle (*.relmap)"),
    "image": ("/camera/image_raw", "image topic (the raw one; <image>/compressed is used if asked for)"),
    "camera_info": ("", "CameraInfo topic; default: camera_info beside the image topic"),
    "camera_file": ("", "camera-info YAML used instead of the topic"),
    "image_transport": ("raw", "raw or compressed"),
    "qos_reliability": ("best_effort", "best_effort or reliable"),
    "profile": ("default", "default, fast or accurate"),
    "pruner": ("", "checkpoint of a correspondence network (features.pruner); default: none"),
    "matcher": ("", "checkpoint of a graph matcher, IMP or EIMP (features.matcher); default: none"),
    "relative_checkpoint": ("", "network that regresses relative poses (relative.checkpoint); default: none"),
    "retrieval": ("", "what the map was built with (retrieval.checkpoint); default: the map's own VLAD"),
    "scene": ("", "checkpoint of a scene-coordinate network (scene.checkpoint); default: none"),
    "global_frame_id": ("map", "frame of the map"),
    "base_frame_id": ("base_link", "whose pose is published; none for the camera's own"),
    "odom_frame_id": ("odom", "frame of odometry; none for single-frame poses alone"),
    "tf_broadcast": ("true", "publish the transform global_frame_id -> odom_frame_id"),
    "base_from_camera": ("", "mount as 'x y z qx qy qz qw'; default: from TF"),
    "autostart": ("true", "configure and activate at start; false: somebody else does it"),
    "use_lifecycle_manager": ("false", "start a nav2_lifecycle_manager, which then does it (needs Nav2)"),
    "managed_nodes": ("localizer", "names of the nodes that this manager manages, in order"),
    "use_sim_time": ("false", "take time from /clock"),
    "namespace": ("", "namespace of the node"),
    "params_file": ("", "parameter file; default: config/localizer.yaml of this package"),
    "shared_memory": ("true", "use the Fast DDS profile that carries large images (unless one is set)"),
}
"""Launch argument -> default (None: required), description."""

PARAMETERS = (
    "camera_file",
    "image_transport",
    "qos_reliability",
    "profile",
    "global_frame_id",
    "base_frame_id",
    "odom_frame_id",
)
"""Arguments that are parameters of the node as they are."""

FILES = {
    "map": "map",
    "pruner": "features.pruner",
    "matcher": "features.matcher",
    "relative_checkpoint": "relative.checkpoint",
    "retrieval": "retrieval.checkpoint",
    "scene": "scene.checkpoint",
}
"""Arguments that name files -> parameter."""


def generate_launch_description() -> LaunchDescription:
    """The localizer node."""
    declared = [
        DeclareLaunchArgument(
            name, description=text, **({} if default is None else {"default_value": default})
        )
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_nodes)])


def make_nodes(context: LaunchContext) -> list[Node]:
    """The node with what the arguments say, and its manager if one is asked for."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    share = FindPackageShare("relpose_ros").perform(context)
    environment = {}
    if given["shared_memory"] == "true" and "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ:
        environment["FASTDDS_DEFAULT_PROFILES_FILE"] = os.path.join(share, "config", "fastdds_shm.xml")
    node = Node(
        package="relpose_ros",
        executable="localizer_node",
        name="localizer",
        namespace=given["namespace"],
        parameters=[
            given["params_file"] or os.path.join(share, "config", "localizer.yaml"),
            node_parameters(given),
        ],
        remappings=[("image", given["image"]), ("camera_info", camera_info_topic(given))],
        additional_env=environment,
        output="screen",
    )
    return [node, *make_manager(given)]


def make_manager(given: dict[str, str]) -> list[Node]:
    """A lifecycle manager, or nothing."""
    if given["use_lifecycle_manager"] != "true":
        return []
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_relpose",
        namespace=given["namespace"],
        parameters=[manager_parameters(given)],
        output="screen",
    )
    return [manager]


def manager_parameters(given: dict[str, str]) -> dict[str, object]:
    """Of nav2_lifecycle_manager. It waits for heart-beats only where the nodes can send them."""
    return {
        "autostart": given["autostart"] == "true",
        "node_names": given["managed_nodes"].split(),
        "bond_timeout": 4.0 if importlib.util.find_spec("bondpy") else 0.0,
        "use_sim_time": given["use_sim_time"] == "true",
    }


def node_parameters(given: dict[str, str]) -> dict[str, object]:
    """Launch arguments as parameters of their types."""
    out: dict[str, object] = {name: given[name] for name in PARAMETERS}
    out["use_sim_time"] = given["use_sim_time"] == "true"
    out["tf_broadcast"] = given["tf_broadcast"] == "true"
    out["autostart"] = given["autostart"] == "true" and given["use_lifecycle_manager"] != "true"
    for argument, parameter in FILES.items():
        if given[argument]:
            out[parameter] = os.path.abspath(os.path.expanduser(given[argument]))
    if given["relative_checkpoint"]:
        out["relative.estimator"] = "relpose_gnn"
    for name in ("base_frame_id", "odom_frame_id"):
        if given[name] == "none":
            out[name] = ""
    if given["base_from_camera"]:
        out["base_from_camera"] = [float(number) for number in given["base_from_camera"].split()]
    return out


def camera_info_topic(given: dict[str, str]) -> str:
    """What was given, or camera_info beside the image, where camera drivers put it."""
    return given["camera_info"] or given["image"].rsplit("/", 1)[0] + "/camera_info"
