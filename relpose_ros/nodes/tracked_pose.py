"""The tracked pose as messages, and its latched topic (AMCL's `amcl_pose`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.messages import pose_with_covariance, seconds
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.tracking import Tracking

if TYPE_CHECKING:
    from relpose_ros.localization.tracking import Decision
    from relpose_ros.nodes.pose_node import PoseNode

TRACKED_POSE_PARAMETERS = (
    Parameter("pose_topic", "~/tracked_pose", "latched topic of the tracked pose; amcl_pose where a stack "
              "expects AMCL's"),
    Parameter("covariance_mode", "full", "covariance of the tracked pose in messages: full, or diagonal "
              "(variances alone) for readers that refuse negative elements", choices=("full", "diagonal")),
)  # fmt: skip
"""Parameters of nodes that publish a tracked pose."""


def tracked_message(
    node: PoseNode, stamp: Time, map_from_base: Rigid, covariance: NDArray[np.float64]
) -> PoseWithCovarianceStamped:
    """A pose of the base in the map, its covariance as `covariance_mode` says."""
    if node.settings["covariance_mode"] == "diagonal":
        covariance = np.diag(np.diag(covariance))
    out = PoseWithCovarianceStamped(pose=pose_with_covariance(map_from_base, covariance))
    out.header.stamp, out.header.frame_id = stamp, node.settings["global_frame_id"]
    return out


class TrackedPosePublisher:
    """Publishes the tracked pose at the stamp of every image, also of those that were not localized."""

    def __init__(self, node: PoseNode, tracking: Tracking) -> None:
        self._node, self._tracking = node, tracking

    def load(self) -> None:
        """Open the topic."""
        if self._tracking.is_off:
            return
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        topic = self._node.settings["pose_topic"]
        self._publisher = self._node.open_publisher(PoseWithCovarianceStamped, topic, latched)
        self._tracking.followers.append(self._follow)

    def _follow(self, answer: Answer, decision: Decision | None) -> None:
        pose = self._tracking.at(seconds(answer.stamp)) if self._tracking.tracks else None
        if pose is not None:
            out = tracked_message(self._node, answer.stamp, pose.map_from_base, pose.covariance)
            self._publisher.publish(out)
