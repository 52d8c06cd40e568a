"""Hints of where the robot is, in (`initialpose`, parameters) and out (`~/publish_initial_pose`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.covariance import checked_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.hints import Hints
from relpose_ros.nodes.messages import rigid_from_pose, seconds, time_message
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.tracked_pose import tracked_message
from relpose_ros.nodes.tracking import Tracking
from relpose_ros.types import State

if TYPE_CHECKING:
    from relpose_ros.nodes.pose_node import PoseNode

Array = NDArray[np.float64]

INITIAL_POSE_PARAMETERS = (
    Parameter("set_initial_pose", False, "whether initial_pose is taken as a hint at activation"),
    Parameter("initial_pose.x", 0.0, "of the base in the map; metres"),
    Parameter("initial_pose.y", 0.0, "of the base in the map; metres"),
    Parameter("initial_pose.z", 0.0, "of the base in the map; metres"),
    Parameter("initial_pose.yaw", 0.0, "about the map's z; radians"),
)  # fmt: skip
"""Parameters of nodes that take an initial pose."""

UNSTATED = np.array([0.25, 0.25, 1.0, 0.07, 0.07, 0.07])
"""Variances (m^2, rad^2) where a hint says 0: RViz leaves z, roll and pitch at 0, others leave all. Those of
x, y and yaw are what RViz and AMCL have; z has a metre, as a map's floor need not be at 0."""


def hint_from_message(message: PoseWithCovarianceStamped, frame: str) -> tuple[Rigid, Array]:
    """Pose of the base in the map and its (6, 6) covariance, made positive definite.

    Raises ValueError for another frame than `frame` and for numbers that are no pose or covariance.
    """
    given = message.header.frame_id.lstrip("/")
    if given != frame.lstrip("/"):
        raise ValueError(f"it is of the frame {given!r}, expected {frame!r} (global_frame_id)")
    covariance = np.reshape(message.pose.covariance, (6, 6)).astype(float)
    unstated = np.diag(covariance) == 0
    covariance[unstated], covariance[:, unstated] = 0.0, 0.0
    covariance[unstated, unstated] = UNSTATED[unstated]
    return rigid_from_pose(message.pose.pose), checked_covariance(covariance)


class InitialPose:
    """Takes hints, and gives the tracked pose to whoever waits for an initial pose."""

    def __init__(self, node: PoseNode, tracking: Tracking, hints: Hints) -> None:
        self._node, self._tracking, self._hints = node, tracking, hints
        self._sent: PoseWithCovarianceStamped | None = None
        node.create_service(Trigger, "~/publish_initial_pose", self._serve)

    def load(self) -> None:
        """Open what is published."""
        self._publisher = self._node.open_publisher(PoseWithCovarianceStamped, "initialpose", 1)

    def listen(self) -> None:
        """While the node is active; the parameters' hint comes first.

        Raises ConfigurationError for parameters that are no pose.
        """
        self._node.open_subscription(PoseWithCovarianceStamped, "initialpose", self._on_message, 5)
        settings = self._node.settings
        if settings["set_initial_pose"]:
            place = [settings[f"initial_pose.{axis}"] for axis in "xyz"]
            turn = [0.0, 0.0, settings["initial_pose.yaw"]]
            try:
                self._hint(Rigid.from_rotation_vector(turn, place), np.diag(UNSTATED), 0.0, "the parameters")
            except ValueError as error:
                raise ConfigurationError(f"parameters initial_pose.*: {error}") from error

    def give(self, message: PoseWithCovarianceStamped) -> str:
        """Take a message as a hint. What is wrong with it, or the empty string."""
        try:
            pose, covariance = hint_from_message(message, self._node.settings["global_frame_id"])
            self._hint(pose, covariance, seconds(message.header.stamp), "a message")
        except ValueError as error:
            return f"the initial pose was not taken: {error}"
        return ""

    def _hint(self, pose: Rigid, covariance: Array, stamp: float, origin: str) -> None:
        self._hints.give(pose, covariance, stamp)
        x, y, z = pose.translation.tolist()
        self._node.health.count("initial poses")
        self._node.get_logger().info(f"initial pose from {origin}: x {x:.2f}, y {y:.2f}, z {z:.2f}")

    def _on_message(self, message: PoseWithCovarianceStamped) -> None:
        if message == self._sent:
            return  # our own, for others
        if problem := self.give(message):
            self._node.complaints.report("initial pose", Level.WARN, problem)

    def _serve(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        message, response.message = self._message()
        if message is not None:
            self._sent = message
            self._publisher.publish(message)
            response.success = True
        return response

    def _message(self) -> tuple[PoseWithCovarianceStamped | None, str]:
        """What to publish, or None, and what to say."""
        if not self._node.is_active:
            return None, "the node is not active"
        tracked = self._tracking.here() if self._tracking.tracks else None
        if tracked is not None:
            stamp = time_message(round(1e9 * tracked.stamp))
            message = tracked_message(self._node, stamp, tracked.map_from_base, tracked.covariance)
            if tracked.state is not State.LOCALIZED:
                return message, f"published the tracked pose, {tracked.state.value}: {tracked.reason}"
            return message, "published the tracked pose"
        return self._untracked()

    def _untracked(self) -> tuple[PoseWithCovarianceStamped | None, str]:
        answer = None if self._tracking.tracks else self._tracking.last
        if answer is None or answer.map_from_base is None or answer.covariance is None:
            return None, "the robot is not localized; look again when ~/state says so"
        message = tracked_message(self._node, answer.stamp, answer.map_from_base, answer.covariance)
        return message, "published the pose of the last image; there is no odometry"
