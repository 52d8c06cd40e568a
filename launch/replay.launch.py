"""ros2 launch relpose_ros replay.launch.py map:=office.relmap bag:=drive_bag/ out:=report/ use_rviz:=true

`relpose replay` with RViz beside it: a bag, or another posed-image source, is played to the localizer, and
its answers are scored. It happens in a ROS domain of its own, which a live robot does not hear.
"""

from __future__ import annotations

import json
import sys

from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from relpose_ros.nodes import launching
from relpose_ros.nodes.environment import free_domain
from relpose_ros.nodes.launching import Given

ARGUMENTS: launching.Arguments = {
    "map": (None, "path of the map bundle (*.relmap)"),
    "bag": (None, "a rosbag2 with images, CameraInfo and poses, or another posed-image source, as a folder"),
    "out": (None, "folder for the report"),
    "rate": ("1.0", "pace; 1: as recorded"),
    "minutes": ("0.0", "play again and again for so long; 0: once"),
    **launching.MODELS,
    "profile": ("default", "default, fast or accurate"),
    "image": ("", "image topic of the bag; empty: the only one"),
    "camera_info": ("", "CameraInfo topic of the bag; empty: beside the image topic"),
    "pose_topic": ("", "ground truth in the bag; empty: TF or the only pose topic"),
    "base_frame_id": ("", "whose pose is published; empty: the camera's own"),
    "domain": ("", "ROS domain to play in; empty: a free one"),
    "shared_memory": (
        "true",
        "give RViz the Fast DDS profile that carries large images (unless one is set)",
    ),
    **launching.RVIZ,
}

PATHS = ("map", "bag", "out")
CHECKPOINTS = ("pruner", "matcher", "scene", "retrieval", "relative_checkpoint")
"""Arguments that name files; empty: none."""


def generate_launch_description() -> LaunchDescription:
    """The replay, and RViz if it is asked for."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_processes)])


def make_processes(context: LaunchContext) -> list[object]:
    """The replay in a process, which ends the launch when it ends."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    domain = int(given["domain"]) if given["domain"] else free_domain()
    replay = ExecuteProcess(
        cmd=[sys.executable, "-m", "relpose_ros.nodes.replay", json.dumps(options(given, domain))],
        name="replay",
        output="screen",
        on_exit=end,
    )
    return [LogInfo(msg=f"playing in ROS_DOMAIN_ID={domain}"), replay, *make_rviz(given, context, domain)]


def make_rviz(given: Given, context: LaunchContext, domain: int) -> list[Node]:
    """RViz in the domain and namespace of the replay, or nothing."""
    if not launching.flag(given, "use_rviz"):
        return []
    share = FindPackageShare("relpose_ros").perform(context)
    seen = {**given, "namespace": "relpose_replay", "use_sim_time": "true"}
    beside = launching.rviz_options(seen, share)
    beside["additional_env"] = {**beside["additional_env"], "ROS_DOMAIN_ID": str(domain)}
    return [Node(**beside | {"remappings": []})]


def end(event: ProcessExited, context: LaunchContext) -> Shutdown:
    """The replay has ended. Raises RuntimeError, which gives the launch an exit status, if it failed."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"the replay ended with status {event.returncode}")
    return Shutdown(reason="the replay has ended")


def options(given: Given, domain: int) -> dict[str, object]:
    """The arguments as fields of `relpose_ros.nodes.replay.ReplayOptions`."""
    return {
        **{name: launching.absolute(given[name]) for name in PATHS},
        **{name: given[name] and launching.absolute(given[name]) for name in CHECKPOINTS},
        **{name: float(given[name]) for name in ("rate", "minutes")},
        "profile": given["profile"],
        "image_topic": given["image"] or None,
        "camera_info_topic": given["camera_info"] or None,
        "pose_topic": given["pose_topic"] or None,
        "base_frame": given["base_frame_id"],
        "domain": domain,
    }
