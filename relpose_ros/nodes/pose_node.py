"""What every node that answers images with poses does: the mount, ~/pose and ~/result, counting answers."""

from __future__ import annotations

from collections.abc import Sequence

from relpose_ros.errors import RelposeError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.camera_node import CameraNode, ImageMessage
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.mount import open_mount
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.results import ResultPublisher, truthful
from relpose_ros.types import Localization, State

POSE_PARAMETERS = (
    Parameter("base_frame_id", "base_link", "whose pose ~/pose gives; empty: the camera's own optical frame"),
    Parameter("base_from_camera", [], "pose of the camera's optical frame in the base frame: "
              "x y z qx qy qz qw (metres); empty: from TF"),
    Parameter("tf_timeout", 0.1, "seconds to wait for TF to reach the image's stamp", range=(0.0, 2.0)),
    Parameter("minimum_confidence", 0.0, "poses below this go to ~/result only", range=(0.0, 1.0), live=True),
    Parameter("publish_degraded", True, "whether degraded poses go to ~/pose too", live=True),
)  # fmt: skip
"""Parameters of every node that publishes poses, beside the name of the map's frame."""


class PoseNode(CameraNode):
    """Base of the nodes that localize. Out: `~/pose`, `~/result`, `/diagnostics`.

    A subclass loads its localizer, calls `answer_in` and then `start`, and `publish_answer` in `process`.
    Raises at construction what CameraNode and `open_mount` raise.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter]) -> None:
        super().__init__(name, (*parameters, *POSE_PARAMETERS))
        self._mount = open_mount(
            self,
            self.settings["base_frame_id"],
            self.settings["base_from_camera"],
            self.settings["tf_timeout"],
        )
        self._results: ResultPublisher | None = None

    def answer_in(self, map_frame: str) -> None:
        """Open the topics; `map_frame` is the frame_id that poses are given in."""
        self._results = ResultPublisher(self, map_frame)

    def publish_answer(self, found: Localization, message: ImageMessage) -> Localization:
        """Publish what is true about an answer, count it, and return what was published."""
        if self._results is None:
            raise RuntimeError("answer_in was not called")
        answer = truthful(found)
        self._count(answer)
        base_from_camera = self._base_from_camera(message) if self._fit_for_pose(answer) else None
        self._results.publish(answer, message, self.camera_frame(message), base_from_camera)
        return answer

    def forget(self) -> None:
        """Time has jumped back."""
        self._mount.forget()

    def _count(self, answer: Localization) -> None:
        if answer.state is State.LOCALIZED:
            self.health.count("localized")
        else:
            self.health.count(answer.state.value, answer.reason or "no reason given")
        self.health.note("last state", answer.state.value)
        self.health.note("last reason", answer.reason)
        self.health.note("last latency ms", f"{answer.latency_ms.get('total', 0.0):.1f}")

    def _fit_for_pose(self, answer: Localization) -> bool:
        if not answer.has_pose or answer.confidence < self.get_parameter("minimum_confidence").value:
            return False
        return answer.state is State.LOCALIZED or bool(self.get_parameter("publish_degraded").value)

    def _base_from_camera(self, message: ImageMessage) -> Rigid | None:
        """The mount, or None: then the camera's pose is known but that of the robot is not."""
        try:
            mount = self._mount.base_from_camera(self.camera_frame(message), message.header.stamp)
        except RelposeError as error:
            self.health.count("poses without mount")
            self.health.problem("mount", Level.ERROR, f"the camera's mount is unknown, no ~/pose: {error}")
            self.get_logger().warning(f"no ~/pose: {error}", throttle_duration_sec=5.0)
            return None
        self.health.solved("mount")
        return mount
