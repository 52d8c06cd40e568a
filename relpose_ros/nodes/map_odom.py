"""TF map -> odom, as AMCL broadcasts it."""

from __future__ import annotations

import importlib.util
import threading
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import TransformStamped, Vector3

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.messages import pose_message, seconds, time_message
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.rival import RivalWatch
from relpose_ros.nodes.stamps import JUMP_NS
from relpose_ros.nodes.tracking import Tracking

if TYPE_CHECKING:
    from relpose_ros.localization.tracking import Decision
    from relpose_ros.nodes.pose_node import PoseNode

MAP_ODOM_PARAMETERS = (
    Parameter("tf_broadcast", True, "publish the transform global_frame_id -> odom_frame_id, from the first "
              "used answer on; false where somebody else does"),
    Parameter("transform_tolerance", 1.0, "seconds that this transform is dated into the future of the "
              "newest odometry", range=(0.0, 10.0)),
    Parameter("transform_rate", 20.0, "how often it is published while nothing changes; Hz",
              range=(1.0, 100.0)),
)  # fmt: skip
"""Parameters of nodes that publish map -> odom."""


class MapOdomBroadcaster:
    """Publishes map -> odom with every used answer, and at a steady rate between them.

    Its stamp is that of the newest odometry, plus the tolerance: odometry tells what time it is for TF, and
    where it has stopped, no transform claims to be fresh.
    """

    def __init__(self, node: PoseNode, tracking: Tracking) -> None:
        self._node, self._tracking = node, tracking
        self._lock = threading.Lock()
        self._last_ns: int | None = None
        self._publisher: Any = None
        self._rivals = RivalWatch(node)

    def load(self) -> None:
        """Open the publisher, if it is wanted."""
        self._publisher, self._last_ns = None, None
        settings = self._node.settings
        if self._tracking.is_off or not settings["tf_broadcast"]:
            return
        if importlib.util.find_spec("tf2_msgs") is None:
            self._node.get_logger().warning("map -> odom cannot be published: tf2_msgs is not installed")
            return
        from tf2_msgs.msg import TFMessage

        self._publisher = self._node.open_publisher(TFMessage, "/tf", 100)
        self._tracking.followers.append(self._follow)

    def listen(self) -> None:
        """While the node is active."""
        if self._publisher is not None:
            self._node.open_timer(1.0 / self._node.settings["transform_rate"], self._repeat)

    def _repeat(self) -> None:
        if self._node.settings["odometry_source"] == "tf":
            self._rivals.look()
        self._publish()

    def _follow(self, answer: Answer, decision: Decision | None) -> None:
        if decision is not None and decision.used:
            self._publish()

    def _publish(self) -> None:
        newest, map_from_odom = self._tracking.odometry.newest, self._tracking.tracker.map_from_odom
        if newest is None or map_from_odom is None:
            return
        stamp_ns = round(1e9 * (newest + self._node.settings["transform_tolerance"]))
        with self._lock:
            last = self._last_ns
            if last is not None and last - JUMP_NS <= stamp_ns <= last:
                return  # TF takes one transform for one time
            self._last_ns = stamp_ns
            message = self._message(map_from_odom, stamp_ns)
            self._rivals.sent(seconds(message.transforms[0].header.stamp), map_from_odom)
            self._publisher.publish(message)

    def _message(self, map_from_odom: Rigid, stamp_ns: int) -> Any:
        from tf2_msgs.msg import TFMessage

        settings, pose = self._node.settings, pose_message(map_from_odom)
        out = TransformStamped(child_frame_id=settings["odom_frame_id"])
        out.header.frame_id, out.header.stamp = settings["global_frame_id"], time_message(stamp_ns)
        out.transform.translation = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
        out.transform.rotation = pose.orientation
        return TFMessage(transforms=[out])
