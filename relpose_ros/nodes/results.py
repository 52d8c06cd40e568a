"""What the localizer publishes about each image: ~/pose and ~/result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from relpose_msgs.msg import LocalizationResult

from relpose_ros.geometry.covariance import transform_pose_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.camera_node import CameraNode, ImageMessage
from relpose_ros.nodes.messages import no_pose, pose_with_covariance, stage_messages
from relpose_ros.types import Localization, State

STATES = {
    State.UNLOCALIZED: LocalizationResult.UNLOCALIZED,
    State.DEGRADED: LocalizationResult.DEGRADED,
    State.LOCALIZED: LocalizationResult.LOCALIZED,
}


class ResultPublisher:
    """Publishes each answer; stamps are those of the image."""

    def __init__(self, node: CameraNode, map_frame: str) -> None:
        self._node, self._map_frame = node, map_frame
        self._poses = node.create_publisher(PoseWithCovarianceStamped, "~/pose", 10)
        self._results = node.create_publisher(LocalizationResult, "~/result", 10)

    def publish(
        self, answer: Localization, image: ImageMessage, camera_frame: str, base_from_camera: Rigid | None
    ) -> None:
        """Publish the answer; ~/pose only if it has one and `base_from_camera` is given."""
        result = result_message(answer, camera_frame)
        result.header.stamp, result.header.frame_id = image.header.stamp, self._map_frame
        if answer.has_pose and base_from_camera is not None:
            self._poses.publish(self._pose(answer, image, base_from_camera))
            result.base_pose_published = True
        result.age = self._node.age(image.header.stamp)
        self._results.publish(result)

    def _pose(
        self, answer: Localization, image: ImageMessage, base_from_camera: Rigid
    ) -> PoseWithCovarianceStamped:
        assert answer.map_from_camera is not None and answer.covariance is not None
        camera_from_base = base_from_camera.inverse()
        out = PoseWithCovarianceStamped()
        out.header.stamp, out.header.frame_id = image.header.stamp, self._map_frame
        out.pose = pose_with_covariance(
            answer.map_from_camera @ camera_from_base,
            transform_pose_covariance(answer.covariance, answer.map_from_camera, camera_from_base),
        )
        return out


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
    if np.any(np.diagonal(answer.covariance) <= 0):
        return "the solver returned a covariance that is not positive"
    return ""
