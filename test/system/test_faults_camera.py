"""Faults of the camera and of time: unplugged, too fast, too large, clocks that jump, bags that loop."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from fault_tools import (  # type: ignore[import-not-found]
    SETTINGS,
    TruthfulRobot,
    assert_ends,
    assert_well,
    megabytes,
)
from relpose_msgs.msg import LocalizationResult
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from relpose_ros.nodes.messages import nanoseconds, time_message

HOUR = 3_600_000_000_000
IDENTITY = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.fixture
def robot(shared, start_shared, make_probe, make_image, wait_for):
    """A robot, localized, on a node with simulated time; honest to the end, and the node well."""
    if not shared:
        robot = shared["robot"] = TruthfulRobot(make_probe(), make_image, wait_for)
        remap = robot.remap | {"/clock": f"{robot.probe.namespace}/clock"}
        shared["process"] = start_shared(
            remap=remap, use_sim_time=True, qos_reliability="reliable", **(SETTINGS | {"map": "driven,0.02"})
        )
        robot.ready()
    robot = shared["robot"]
    robot.forget()
    robot.localized()
    yield robot
    robot.assert_honest()
    assert_well(shared["process"], robot.probe)


@pytest.fixture
def clock(ros, robot, wait_for):
    """Sets the node's clock to a number of nanoseconds."""
    publisher = ros.create_publisher(Clock, f"{robot.probe.namespace}/clock", 10)
    wait_for(publisher.get_subscription_count, what="the node's /clock")
    yield lambda stamp_ns: publisher.publish(Clock(clock=time_message(stamp_ns)))
    ros.destroy_publisher(publisher)


@pytest.fixture
def process(shared, robot):
    """The node's process."""
    return shared["process"]


def test_unplugged_and_back(robot):
    """The driver ends; odometry goes on, and what is known of the image ages."""
    probe = robot.probe
    probe.node.destroy_publisher(probe.images)
    probe.node.destroy_publisher(probe.infos)
    published = len(robot.transforms)
    robot.wait(lambda: drives_until(robot, "no image on"), what="a complaint")
    assert "(0 publishers)" in probe.status().message and probe.status().level == b"\x01"
    robot.wait(
        lambda: drives_until(robot, "no image on") and "no answer for" in probe.states[-1].reason,
        what="a state that is none",
    )
    assert probe.states[-1].localization == LocalizationResult.UNLOCALIZED
    assert len(robot.transforms) > published, "odometry carries map -> odom on"
    probe.images = probe.node.create_publisher(Image, f"{probe.namespace}/image", 5)
    probe.infos = probe.node.create_publisher(CameraInfo, f"{probe.namespace}/camera_info", 5)
    robot.wait(probe.images.get_subscription_count, what="the node's image")
    robot.wait(probe.infos.get_subscription_count, what="the node's camera_info")
    robot.localized()
    assert probe.said(localization=LocalizationResult.LOCALIZED)
    robot.wait(lambda: "no image on" not in probe.status().message, what="an end of the complaint")


def drives_until(robot, words: str) -> bool:
    robot.moves_blindly(0.1)
    return words in robot.probe.status().message


def test_images_at_200_hz(robot, process):
    """Ten times what the localizer can do: the newest wins, nothing piles up, odometry is not starved."""
    before, answered = megabytes(process), len(robot.probe.results)
    received = int(robot.probe.values()["received"])
    began = time.monotonic()
    for n in range(600):
        robot.photograph()
        time.sleep(max(0.0, began + (n + 1) / 200 - time.monotonic()))
    last = robot.probe.results[-1].header.stamp
    behind = robot.probe._stamp - nanoseconds(last)
    assert behind < 2_000_000_000, "answers are of the newest images"  # 200 images of 10 ms
    robot.localized()
    values = robot.probe.diagnosed("odometry", "flows")
    assert int(values["received"]) - received > 30
    assert 10 < len(robot.probe.results) - answered < 400
    assert megabytes(process) < before + 40


def test_images_of_4k(start, make_probe, make_info):
    """25 million bytes an image in colour, compressed as such cameras send them: raw ones outgrow DDS."""
    probe, info = make_probe(), make_info(3840, 2160)
    blocks = np.random.default_rng(0).integers(0, 255, (270, 480, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", cv2.resize(blocks, (3840, 2160), interpolation=cv2.INTER_NEAREST))[
        1
    ].tobytes()
    settings = {"image_transport": "compressed", "qos_reliability": "reliable", "base_from_camera": IDENTITY}
    process = start(remap=probe.remap, map="good", **settings)
    probe.wait_for_node(probe.compressed)

    def photograph() -> CompressedImage:
        return CompressedImage(format="jpeg", data=jpeg)

    probe.answer(photograph(), info)
    before = megabytes(process)
    for _ in range(20):
        probe.send(photograph(), info)
        time.sleep(0.1)
    assert probe.answer(photograph(), info).state == LocalizationResult.LOCALIZED
    assert megabytes(process) < before + 100
    assert_well(process, probe)


@pytest.mark.parametrize("jump", [HOUR, -2 * HOUR, 10 * HOUR, -20 * HOUR])
def test_clocks_jump(robot, clock, jump):
    """Stamps and /clock together, far forward and far back; the robot stays where it is."""
    clock(robot.probe._stamp)
    robot.localized()
    robot.assert_honest()
    robot.forget()
    robot.probe._stamp += jump
    clock(robot.probe._stamp)
    robot.localized()
    assert abs(robot.probe.results[-1].age) < 60.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_the_clock_alone_jumps(robot, clock, jump):
    """Stamps of sensors go on: ages are wrong, poses are not."""
    clock(robot.probe._stamp + jump)
    robot.localized()


def test_a_bag_that_loops(robot):
    """Three times the same drive with the same stamps; at the loop the robot is set back by metres."""
    begin, metres = robot.probe._stamp, robot.metres
    jumps = int(robot.probe.values().get("time jumps", "0"))
    for loop in range(3):
        robot.assert_honest()
        robot.forget()
        robot.probe._stamp, robot.metres = begin, metres
        for _ in range(5):
            robot.step(0.4)
        robot.localized()
        assert "kidnapped" not in str(robot.probe.status().message)
        robot.probe.diagnosed("time jumps", str(jumps + loop))


def test_it_ends_cleanly_after_all_this(shared):
    assert_ends(shared["process"])
