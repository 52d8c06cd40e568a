"""A robot for tests: it publishes odometry and, as images, where it is; the node localizes by the pixels."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.messages import nanoseconds, rigid_from_transform, seconds, time_message

CAMERA = np.array([0.5, -0.5, 0.5, -0.5])
"""Quaternion of the camera of the fake localizer `driven` in the map."""

ODOM_START = Rigid.from_rotation_vector([0.0, 0.0, 0.7], [3.0, -2.0, 0.1])
"""Odometry's frame has nothing to do with the map's."""

STEP_NS = 100_000_000


def map_from_base(metres: float) -> Rigid:
    """Where the base is after so many metres, as the fake localizer `driven` sees it (base = camera)."""
    return Rigid.from_quaternion(CAMERA, [metres, 2.0, 3.0])


class Robot:
    """Drives along x. `probe` talks to the node; topics are below its namespace."""

    def __init__(self, probe: Any, make_image: Any, wait: Any) -> None:
        self.probe, self._make_image, self.wait = probe, make_image, wait
        self.metres, self.start = 1.0, map_from_base(1.0)
        self.transforms: list[tuple[float, float, Rigid]] = []
        self.poses: list[PoseWithCovarianceStamped] = []
        self.offset = 0.0
        latched = QoSProfile(depth=50, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node, names = probe.node, probe.namespace
        self._tf = node.create_publisher(TFMessage, f"{names}/tf", 100)
        self._heard = (
            node.create_subscription(TFMessage, f"{names}/tf", self._on_tf, 100),
            node.create_subscription(
                PoseWithCovarianceStamped, f"{probe.name}/tracked_pose", self.poses.append, latched
            ),
        )

    def close(self) -> None:
        for subscription in self._heard:
            self.probe.node.destroy_subscription(subscription)
        self.probe.node.destroy_publisher(self._tf)

    @property
    def remap(self) -> dict[str, str]:
        return self.probe.remap | {"/tf": f"{self.probe.namespace}/tf"}

    @property
    def odom_from_base(self) -> Rigid:
        """Odometry began at `ODOM_START`, when the base was at `start`; it does not notice kidnappings."""
        return ODOM_START @ self.start.inverse() @ map_from_base(self.metres)

    def ready(self) -> None:
        """Until the node is there, and has odometry."""
        self.probe.statuses.clear()  # what a node of the same name said before it ended
        self.probe.wait_for_node()
        self.wait(self._tf.get_subscription_count, what="the node's /tf")
        self.wait(self._heard[1].get_publisher_count, what="the tracked pose")
        self.wait(self._samples, what=lambda: f"odometry to arrive; {self.probe.values()}")

    def step(self, metres: float = 0.1, seen: float = 0.0) -> Any:
        """Drive, take an image; the result. `seen`: what the localizer is wrong by, in metres."""
        stamp = nanoseconds(self.probe.next_stamp(STEP_NS))
        self.metres += metres
        self._odometry(stamp)
        time.sleep(0.06)
        self._odometry(stamp + STEP_NS // 10)
        time.sleep(0.06)
        value = max(round(10 * (self.metres + self.offset + seen)), 0)  # black: not localized
        image = self._make_image(value=value)
        image.header.stamp = time_message(stamp)
        return self.probe.answer(image)

    def tracked(self) -> PoseWithCovarianceStamped:
        """The tracked pose at the last image."""
        stamp = self.probe.results[-1].header.stamp
        self.wait(lambda: self.poses and self.poses[-1].header.stamp == stamp, what="the last tracked pose")
        return self.poses[-1]

    def steps(self, count: int, **how: float) -> None:
        for _ in range(count):
            self.step(**how)

    def decided(self, kind: str, count: int) -> None:
        self.probe.diagnosed(f"fixes: {kind}", str(count))

    def _samples(self) -> bool:
        self._odometry(nanoseconds(self.probe.next_stamp(STEP_NS)))
        time.sleep(0.05)
        return self.probe.values().get("odometry") == "flows"

    def _odometry(self, stamp_ns: int) -> None:
        link = TransformStamped(child_frame_id="base_link")
        link.header.frame_id, link.header.stamp = "odom", time_message(stamp_ns)
        pose = self.odom_from_base
        t, r = link.transform.translation, link.transform.rotation
        t.x, t.y, t.z = pose.translation.tolist()
        r.x, r.y, r.z, r.w = pose.rotation_xyzw.tolist()
        self._tf.publish(TFMessage(transforms=[link]))

    def _on_tf(self, message: TFMessage) -> None:
        for link in message.transforms:
            if (link.header.frame_id, link.child_frame_id) == ("map", "odom"):
                pose = rigid_from_transform(link.transform)
                self.transforms.append((time.monotonic(), seconds(link.header.stamp), pose))
