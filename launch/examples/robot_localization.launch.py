"""ros2 launch relpose_ros robot_localization.launch.py map:=office.relmap image:=/camera/image_raw

The localizer and two filters of robot_localization: one for odom -> base_link, one that fuses the camera's
poses and publishes map -> odom (config/examples/robot_localization.yaml).
"""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription  # type: ignore[attr-defined]

SIM_TIME = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
SHARE = FindPackageShare("relpose_ros")
PARAMETERS = PathJoinSubstitution([SHARE, "config", "examples", "robot_localization.yaml"])

ARGUMENTS = (
    DeclareLaunchArgument("map", description="path of the map bundle (*.relmap)"),
    DeclareLaunchArgument("image", default_value="/camera/image_raw", description="image topic"),
    DeclareLaunchArgument("params_file", default_value=PARAMETERS, description="of localizer and filters"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes"),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="take time from /clock"),
)
"""The localizer's other arguments (localization.launch.py) are taken too."""


def generate_launch_description() -> LaunchDescription:
    """The localizer and both filters."""
    filters = [
        Node(
            package="robot_localization",
            executable="ekf_node",
            name=name,
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), {"use_sim_time": SIM_TIME}],
            remappings=[
                ("odometry/filtered", f"{name}/odometry"),
                ("set_pose", f"{name}/set_pose"),  # one of them is to move, not both
                ("/tf", "tf"),
                ("/tf_static", "tf_static"),
            ],
            output="screen",
        )
        for name in ("ekf_odom", "ekf_map")
    ]
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "localization.launch.py"])),
        launch_arguments={
            argument.name: LaunchConfiguration(argument.name) for argument in ARGUMENTS
        }.items(),
    )
    return LaunchDescription([*ARGUMENTS, *filters, localization])
