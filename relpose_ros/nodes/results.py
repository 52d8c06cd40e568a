"""What the localizer publishes about each image: ~/pose and ~/result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from relpose_msgs.msg import LocalizationResult

from relpose_ros.geometry.covariance import checked_covariance
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.camera_node import CameraNode
from relpose_ros.nodes.messages import no_pose, pose_with_covariance, stage_messages
from relpose_ros.types import Localization, State

STATES = {
    State.UNLOCALIZED: LocalizationResult.UNLOCALIZED,
    State.DEGRADED: LocalizationResult.DEGRADED,
    State.LOCALIZED: LocalizationResult.LOCALIZED,
}


class ResultPublisher:
    """Publishes each answer; stamps are those of the image. A listener of the node's answers."""

    def __init__(self, node: CameraNode) -> None:
        self._node = node
        self._poses = node.open_publisher(PoseWithCovarianceStamped, "~/pose", 10)
        self._results = node.open_publisher(LocalizationResult, "~/result", 10)

    def on_answer(self, answer: Answer) -> None:
        """Publish the answer; ~/pose only if it is a pose of the robot."""
        result = result_message(answer.found, answer.camera_frame)
        result.header.stamp, result.header.frame_id = answer.stamp, answer.map_frame
        if answer.map_from_base is not None and answer.covariance is not None:
            pose = PoseWithCovarianceStamped(header=result.header)
            pose.pose = pose_with_covariance(answer.map_from_base, answer.covariance)
            self._poses.publish(pose)
            result.base_pose_published = True
        result.age = self._node.age(answer.stamp)
        self._results.publish(result)

    def reset(self, reason: str) -> None:
        """Nothing is remembered."""


def result_message(answer: Localization, camera_frame: str) -> LocalizationResult:
    """An answer as a message; header and age are left to the publisher."""
    pose = no_pose()
    if answer.map_from_camera is not None and answer.covariance is not None:
        pose = pose_with_covariance(answer.map_from_camera, answer.covariance)
    return LocalizationResult(
        camera_frame_id=camera_frame,
        state=STATES[answer.state],
        reason=answer.reason,
        confidence=float(answer.confidence),
        method=answer.method,
        references=list(answer.references),
        inliers=int(answer.inliers),
        map_from_camera=pose,
        stages=stage_messages(answer.latency_ms),
    )


def truthful(answer: Localization) -> Localization:
    """The answer, or an abstention if its numbers cannot be a pose: the last door before the robot."""
    if answer.map_from_camera is None and answer.state is State.UNLOCALIZED:
        return answer
    problem = _impossible(answer)
    if not problem:
        return answer
    return replace(
        answer, state=State.UNLOCALIZED, reason=problem, map_from_camera=None, covariance=None, confidence=0.0
    )


def _impossible(answer: Localization) -> str:
    """Why a pose cannot be published, or the empty string."""
    if answer.map_from_camera is None or answer.covariance is None:
        return "the localizer gave a state without a pose and covariance"
    numbers = (answer.map_from_camera.matrix, answer.covariance, answer.confidence)
    if not all(np.all(np.isfinite(n)) for n in numbers):
        return "the solver returned a value that is not finite"
    if answer.state is State.UNLOCALIZED:
        return answer.reason or "not localized"
    try:
        checked_covariance(answer.covariance)
    except ValueError as error:
        return f"the solver returned a bad covariance: {error}"
    return ""
