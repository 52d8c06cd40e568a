"""Odometry of the base, from TF or from a topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.messages import rigid_from_pose, seconds
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.pose_node import PoseNode
from relpose_ros.nodes.transform_buffer import TransformError

ODOMETRY_PARAMETERS = (
    Parameter("odom_frame_id", "odom", "frame of odometry; empty: odometry is not used, and there are "
              "neither map -> odom nor tracked poses"),
    Parameter("odometry_source", "tf", "where odometry comes from: tf (odom_frame_id -> base_frame_id), or "
              "topic (`odom`, nav_msgs/Odometry)", choices=("tf", "topic")),
)  # fmt: skip
"""Parameters of nodes that use odometry."""

POLL = 0.02
"""Seconds between two looks at TF."""

SILENCE = 1.0
"""Seconds without a sample after which odometry counts as gone."""

Take = Callable[[float, Rigid], None]


class OdometryInput:
    """Hands samples, stamp in seconds and `odom_from_base`, to `take`, in the executor's thread."""

    def __init__(self, node: PoseNode, take: Take) -> None:
        self._node, self._take = node, take
        self._came = threading.Condition()
        self._stamp: float | None = None
        self._heard_at = 0.0

    def listen(self) -> None:
        """While the node is active."""
        self._stamp = None
        if self._node.settings["odometry_source"] == "topic":
            quality = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._node.open_subscription(Odometry, "odom", self._on_message, quality)
        else:
            self._node.open_timer(POLL, self._poll)
        self._node.open_timer(SILENCE, self._watch)
        self._node.while_active.callback(self._close)

    @property
    def newest(self) -> float | None:
        """Stamp of the newest sample; None before the first."""
        with self._came:
            return self._stamp

    @property
    def flows(self) -> bool:
        """Whether a sample came within the last second."""
        with self._came:
            return self._stamp is not None and time.monotonic() - self._heard_at < SILENCE

    def wait_for(self, stamp: float, timeout: float) -> None:
        """Until there is a sample of `stamp` or later, for at most `timeout` seconds."""
        if not self.flows:
            return
        with self._came:
            self._came.wait_for(lambda: self._stamp is not None and self._stamp >= stamp, timeout)

    def _close(self) -> None:
        self._node.health.note("odometry", None)
        if self._node.context.ok():  # else the process is ending, and there is no log
            self._node.complaints.solved("odometry")

    def _sample(self, stamp: float, odom_from_base: Rigid) -> None:
        self._take(stamp, odom_from_base)
        with self._came:
            self._stamp, self._heard_at = stamp, time.monotonic()
            self._came.notify_all()

    def _poll(self) -> None:
        source = self._node.transforms.open()
        settings = self._node.settings
        if source is None:
            self._node.health.note("odometry", "TF cannot be read here; set odometry_source to topic")
            return
        try:
            stamp, odom_from_base = source.latest(settings["odom_frame_id"], settings["base_frame_id"])
        except TransformError as error:
            self._node.health.note("odometry", f"none: {error}")
            return
        if stamp != self._stamp:
            self._sample(stamp, odom_from_base)

    def _on_message(self, message: Odometry) -> None:
        problem = self._problem(message)
        if not problem:
            try:
                self._sample(seconds(message.header.stamp), rigid_from_pose(message.pose.pose))
                return
            except ValueError as error:
                problem = f"a sample of odometry is no pose: {error}"
        self._node.health.count("bad odometry")
        self._node.complaints.report("bad odometry", Level.WARN, problem)

    def _problem(self, message: Odometry) -> str:
        """What is wrong with a sample's header, or the empty string."""
        settings = self._node.settings
        frames = (message.header.frame_id, settings["odom_frame_id"], "odom_frame_id"), (
            message.child_frame_id, settings["base_frame_id"], "base_frame_id"
        )  # fmt: skip
        for got, expected, name in frames:
            if got.lstrip("/") != expected.lstrip("/"):
                return f"odometry is of the frame {got!r}, expected {expected!r} ({name})"
        if not (message.header.stamp.sec or message.header.stamp.nanosec):
            return "odometry has no time stamp"
        return ""

    def _watch(self) -> None:
        """Say so when odometry that was there has stopped; one that never was may not be wanted."""
        node = self._node
        if self._stamp is None:
            source = "the topic odom" if node.settings["odometry_source"] == "topic" else "TF"
            node.complaints.mention("no odometry", f"no odometry on {source} yet: single-frame poses only")
        elif self.flows:
            node.health.note("odometry", "flows")
            node.complaints.solved("odometry")
        else:
            text = f"odometry has stopped: no sample for {time.monotonic() - self._heard_at:.0f} s"
            node.health.note("odometry", "stopped")
            node.complaints.report("odometry", Level.WARN, text)
