"""ros2 launch relpose_ros nav2.launch.py map:=office.relmap occupancy_map:=office.yaml

What nav2_bringup's localization_launch.py starts, with the localizer in AMCL's place: a map server for the
costmaps, the localizer, and a lifecycle manager for both. Navigation comes from Nav2, beside:

    ros2 launch nav2_bringup bringup_launch.py use_localization:=False params_file:=nav2_params.yaml
"""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription  # type: ignore[attr-defined]

SHARE = FindPackageShare("relpose_ros")
PARAMETERS = PathJoinSubstitution([SHARE, "config", "examples", "nav2_localizer.yaml"])

ARGUMENTS = (
    DeclareLaunchArgument("map", description="path of the map bundle (*.relmap)"),
    DeclareLaunchArgument("occupancy_map", description="occupancy grid (YAML) for the costmaps"),
    DeclareLaunchArgument("image", default_value="/camera/image_raw", description="image topic"),
    DeclareLaunchArgument("params_file", default_value=PARAMETERS, description="of the localizer"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes"),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="take time from /clock"),
    DeclareLaunchArgument("autostart", default_value="true", description="bring both up at start"),
    DeclareLaunchArgument("use_respawn", default_value="false", description="start again what ended"),
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn or error"),
)
"""The localizer's other arguments (localization.launch.py) are taken too."""


def generate_launch_description() -> LaunchDescription:
    """Map server, localizer, lifecycle manager."""
    map_server = Node(
        package="nav2_map_server",
        executable="map_server",
        name="map_server",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "yaml_filename": LaunchConfiguration("occupancy_map"),
                "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
            }
        ],
        respawn=LaunchConfiguration("use_respawn"),
        respawn_delay=2.0,
        output="screen",
    )
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "localization.launch.py"])),
        launch_arguments={
            **{argument.name: LaunchConfiguration(argument.name) for argument in ARGUMENTS},
            "use_lifecycle_manager": "true",
            "managed_nodes": "map_server localizer",
        }.items(),
    )
    return LaunchDescription([*ARGUMENTS, map_server, localization])
