"""Garbage on every topic that a node listens to: spoilt messages, then thousands of mutated ones."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress

import numpy as np
import pytest
from driving_robot import CAMERA  # type: ignore[import-not-found]
from fault_tools import (  # type: ignore[import-not-found]
    RECOVERY,
    SETTINGS,
    assert_ends,
    assert_possible,
    assert_well,
    megabytes,
)
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from hostile_messages import message_type, mutated, spoilt  # type: ignore[import-not-found]
from nav_msgs.msg import Odometry
from rclpy.node import NodeNameNonExistentError
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import RCLError
from relpose_msgs.msg import LocalizationResult
from sensor_msgs.msg import CompressedImage
from tf2_msgs.msg import TFMessage

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.messages import pose_message, rigid_from_pose

TRUTH = Rigid.from_quaternion(CAMERA, [1.0, 2.0, 3.0])
"""Whatever an image shows, the fake localizer `good` sees it from there."""

MUTATIONS = 10_000
"""Messages in all, over the topics of both nodes."""

RCLPY = "Seconds value must not be negative"
"""What rclpy itself raises over a /clock before 1970, in the executor: counted, and survived."""

PACE = 1000
"""Messages a second: what is lost in a queue tests nothing."""

NODES = {
    "tf": ({"odometry_source": "tf"}, {"image", "camera_info", "initialpose", "tf", "tf_static"}),
    "topic": (
        {"odometry_source": "topic", "image_transport": "compressed", "use_sim_time": True},
        {"image/compressed", "camera_info", "initialpose", "odom", "clock"},
    ),
}
"""Parameters of the nodes, by where odometry comes from, and what they listen to at least."""


class Victim:
    """A node that gets garbage on every topic, and what it needs to be localized between."""

    def __init__(self, ros, probe, process, kinds, make_info, make_image) -> None:
        self.ros, self.probe, self.process = ros, probe, process
        self._makes = {"CameraInfo": make_info, "Image": make_image, "CompressedImage": png}
        self.tracked: list[PoseWithCovarianceStamped] = []
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.kinds = kinds
        self.topics = {t: ros.create_publisher(kind, t, latched) for t, kind in self.kinds.items()}
        self._heard = ros.create_subscription(
            PoseWithCovarianceStamped, f"{probe.name}/tracked_pose", self.tracked.append, latched
        )

    def close(self) -> None:
        for publisher in self.topics.values():
            self.ros.destroy_publisher(publisher)
        self.ros.destroy_subscription(self._heard)

    def good(self, topic: str):
        """What belongs on a topic."""
        kind = self.kinds[topic]
        message = self._makes.get(kind.__name__, kind)()
        stamp = self.probe.next_stamp(10_000_000)
        if kind is TFMessage:
            message.transforms = [odometry_link(stamp)]
        elif kind is Odometry:
            message.child_frame_id = "base_link"
            message.header.frame_id, message.pose.pose = "odom", pose_message(Rigid.identity())
        elif kind is PoseWithCovarianceStamped:
            message.header.frame_id, message.pose.pose = "map", pose_message(TRUTH)
        if hasattr(message, "header"):
            message.header.stamp = stamp
        if hasattr(message, "clock"):
            message.clock = stamp
        return message

    def recovers(self) -> None:
        """Good messages until it is localized and tracked where it is, several times in a row."""
        deadline, run = time.monotonic() + RECOVERY, 0
        while run < 3:
            assert time.monotonic() < deadline, str(self.probe.values())
            assert self.process.status() is None, self.process.output()
            self._odometry()
            stamp = self.probe.send(self.good(self.images))
            self._odometry()
            run = run + 1 if self._is_right_at(stamp) else 0

    def _odometry(self) -> None:
        for name in ("odom", "tf"):
            topic = f"{self.probe.namespace}/{name}"
            if topic in self.topics:
                self.probe.next_stamp()
                self.topics[topic].publish(self.good(topic))

    @property
    def images(self) -> str:
        return next(t for t, kind in self.kinds.items() if kind.__name__ in ("Image", "CompressedImage"))

    def _is_right_at(self, stamp) -> bool:
        until = time.monotonic() + 0.5
        while not (found := [p for p in self.tracked[-3:] if p.header.stamp == stamp]):
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return bool(rigid_from_pose(found[0].pose.pose).distance_to(TRUTH)[0] < 0.05)

    def assert_honest(self) -> None:
        """Every pose of an image is right; whatever odometry has claimed, every tracked pose is possible."""
        assert self.probe.poses and self.tracked
        for pose in self.probe.poses:
            assert_possible(pose)
            assert max(rigid_from_pose(pose.pose.pose).distance_to(TRUTH)) < 1e-6
        for pose in self.tracked:
            assert_possible(pose)
        for result in self.probe.results:
            if result.state != LocalizationResult.UNLOCALIZED:
                assert max(rigid_from_pose(result.map_from_camera.pose).distance_to(TRUTH)) < 1e-6


def png() -> CompressedImage:
    import cv2

    out = CompressedImage(
        format="png", data=cv2.imencode(".png", np.full((48, 64), 100, np.uint8))[1].tobytes()
    )
    out.header.frame_id = "camera_optical_frame"
    return out


def odometry_link(stamp) -> TransformStamped:
    link = TransformStamped(child_frame_id="base_link")
    link.header.frame_id, link.header.stamp = "odom", stamp
    return link


@pytest.fixture(scope="module")
def shared():
    """The nodes that the tests of this file share."""
    kept = {}
    yield kept
    for victim in kept.values():
        victim.close()


@pytest.fixture(params=list(NODES))
def victim(request, shared, ros, start_shared, make_probe, make_info, make_image, wait_for):
    """A node, localized; honest to the end, and well."""
    if request.param not in shared:
        probe, (parameters, topics) = make_probe(), NODES[request.param]
        remap = probe.remap | {
            f"/{name}": f"{probe.namespace}/{name}" for name in ("tf", "tf_static", "clock")
        }
        process = start_shared(remap=remap, **(SETTINGS | {"map": "good"} | parameters))
        probe.wait_for_node(images=probe.compressed if "image_transport" in parameters else None)

        def listened_to():
            with suppress(NodeNameNonExistentError):
                heard = dict(ros.get_subscriber_names_and_types_by_node("localizer", probe.namespace))
                return heard if {f"{probe.namespace}/{topic}" for topic in topics} <= set(heard) else None

        heard = wait_for(listened_to, what=f"a node that listens to {topics}")
        kinds = {topic: message_type(names[0]) for topic, names in heard.items()}
        shared[request.param] = Victim(ros, probe, process, kinds, make_info, make_image)
    out = shared[request.param]
    out.recovers()
    yield out
    out.recovers()
    out.assert_honest()
    assert_well(out.process, out.probe, RCLPY)


def test_garbage_on_every_topic(victim):
    """Wrong sizes, encodings, NaN, infinity, huge numbers, no rotations, no frames, negative stamps."""
    random_ = random.Random(1)
    before = megabytes(victim.process)
    for topic, publisher in victim.topics.items():
        for _ in range(150):
            publisher.publish(spoilt(victim.good(topic), random_))
            time.sleep(1 / PACE)
        victim.recovers()
    assert megabytes(victim.process) < before + 60


def test_mutated_messages(victim):
    attack(victim, random.Random(2), MUTATIONS // len(NODES))


@pytest.mark.slow
def test_mutated_messages_for_minutes(victim):
    """10,000 on each topic, again and again. RELPOSE_SOAK_MINUTES=2: shorter."""
    until = time.monotonic() + 60.0 * float(os.environ.get("RELPOSE_SOAK_MINUTES", "10"))
    random_, before = random.Random(3), megabytes(victim.process)
    while time.monotonic() < until:
        attack(victim, random_, MUTATIONS * len(victim.topics))
        victim.recovers()
        victim.assert_honest()
    assert megabytes(victim.process) < before + 60


def attack(victim, random_, count: int) -> None:
    """So many mutated messages over all topics, at `PACE`."""
    before, attacked, began = megabytes(victim.process), list(victim.topics), time.monotonic()
    for n in range(count):
        topic = attacked[n % len(attacked)]
        with suppress(RCLError):  # longer than a message of that type can be
            victim.topics[topic].publish(mutated(victim.good(topic), random_))
        time.sleep(max(0.0, began + n / PACE - time.monotonic()))
    victim.recovers()
    while megabytes(victim.process) > before + 60:  # a broken header may claim a large image for a while
        assert time.monotonic() < began + count / PACE + RECOVERY, "memory has grown"
        time.sleep(0.1)


@pytest.mark.parametrize("attacked_for", ["seconds", pytest.param("minutes", marks=pytest.mark.slow)])
def test_they_end_cleanly_after_all_this(shared, attacked_for):
    if not shared:
        pytest.skip("a clean end was NOT checked: no test before this one started a node")
    for victim in shared.values():
        assert_ends(victim.process, RCLPY)
