"""TF is missing, then late; the mount comes after the node, odometry stops and lags."""

from __future__ import annotations

import pytest
from fault_tools import (  # type: ignore[import-not-found]
    TruthfulRobot,
    assert_ends,
    assert_well,
    pause,
)
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from relpose_msgs.msg import LocalizationResult
from tf2_msgs.msg import TFMessage


@pytest.fixture
def robot(shared, start_shared, make_probe, make_image, wait_for):
    """A robot whose node knows nothing of where its camera is; honest to the end, and the node well."""
    if not shared:
        robot = shared["robot"] = TruthfulRobot(make_probe(), make_image, wait_for)
        remap = robot.remap | {"/tf_static": f"{robot.probe.namespace}/tf_static"}
        shared["process"] = start_shared(remap=remap, map="driven")
        robot.ready()
    yield shared["robot"]
    shared["robot"].assert_honest()
    assert_well(shared["process"], shared["robot"].probe)


def test_the_mount_comes_late(ros, robot, shared):
    """Until then the camera is localized and the robot is not: no pose, and an error that says why."""
    for _ in range(3):
        result = robot.step()
        assert result.state == LocalizationResult.LOCALIZED and not result.base_pose_published
    robot.probe.diagnosed("poses without mount")
    robot.wait(lambda: robot.probe.status().level == b"\x02", what="an error")
    assert "the camera's mount is unknown" in robot.probe.status().message
    assert not robot.probe.poses and not robot.poses and not robot.transforms
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    shared["mount"] = ros.create_publisher(TFMessage, f"{robot.probe.namespace}/tf_static", latched)
    mount = TransformStamped(child_frame_id="camera_optical_frame")
    mount.header.frame_id, mount.transform.rotation.w = "base_link", 1.0
    shared["mount"].publish(TFMessage(transforms=[mount]))
    robot.localized()
    robot.wait(lambda: "mount" not in robot.probe.status().message, what="an end of the complaint")


def test_odometry_stops_and_comes_back(robot):
    """Single frames go on, the track and map -> odom do not."""
    robot.localized()

    def has_stopped() -> bool:
        robot.photograph(odometry=False)
        pause(0.1)
        return "odometry has stopped" in robot.probe.status().message

    robot.wait(has_stopped, what="a complaint about odometry")
    tracked, sent = len(robot.poses), len(robot.transforms)
    for _ in range(5):
        robot.photograph(odometry=False)
        pause(0.1)
    assert len(robot.poses) == tracked and len(robot.transforms) == sent
    assert robot.probe.results[-1].base_pose_published
    robot.localized()
    robot.wait(lambda: "has stopped" not in robot.probe.status().message, what="an end of the complaint")


def test_odometry_lags(robot):
    """It comes long after its image: such answers are not used, and the track lives on odometry alone."""
    robot.localized()
    for _ in range(8):
        stamp = robot.photograph(odometry=False)
        pause(0.4)
        robot.odometry_at(stamp)
    robot.localized()


def test_it_ends_cleanly_after_all_this(shared):
    assert_ends(shared["process"])
