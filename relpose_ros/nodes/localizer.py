"""All roads in one process: an image comes in, a trusted pose or an honest "I don't know" leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relpose_ros.errors import RelposeError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.camera_node import CameraNode, ImageMessage
from relpose_ros.nodes.debug import DebugPublisher
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.loading import MAP_PARAMETERS, MATCHING_PARAMETERS, Loaded, load
from relpose_ros.nodes.mount import open_mount
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.results import ResultPublisher, truthful
from relpose_ros.types import Frame, Localization, State

PARAMETERS = (
    *MAP_PARAMETERS,
    *MATCHING_PARAMETERS,
    Parameter("global_frame_id", "map", "frame of the map: frame_id of ~/pose and ~/result"),
    Parameter("base_frame_id", "base_link", "whose pose ~/pose gives; empty: the camera's own optical frame"),
    Parameter("base_from_camera", [], "pose of the camera's optical frame in the base frame: "
              "x y z qx qy qz qw (metres); empty: from TF"),
    Parameter("tf_timeout", 0.1, "seconds to wait for TF to reach the image's stamp", range=(0.0, 2.0)),
    Parameter("minimum_confidence", 0.0, "poses below this go to ~/result only", range=(0.0, 1.0), live=True),
    Parameter("publish_degraded", True, "whether degraded poses go to ~/pose too", live=True),
)  # fmt: skip


class LocalizerNode(CameraNode):
    """In: `image`, `camera_info`. Out: `~/pose`, `~/result`, `~/debug_image`, `~/markers`, `/diagnostics`."""

    def __init__(self, load: Callable[[dict[str, Any]], Loaded] = load) -> None:
        super().__init__("localizer", PARAMETERS)
        settings = self.settings
        self._mount = open_mount(
            self, settings["base_frame_id"], settings["base_from_camera"], settings["tf_timeout"]
        )
        loaded = load(settings)
        self._localizer = loaded.localizer
        self.health.note("map", loaded.map_id)
        self._results = ResultPublisher(self, settings["global_frame_id"])
        self._debug = DebugPublisher(self, settings["global_frame_id"], loaded.map)
        self.start()

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Localize one frame and publish what is true about it."""
        answer = truthful(self._localizer.localize(frame))
        self._count(answer)
        base_from_camera = self._base_from_camera(message) if self._fit_for_pose(answer) else None
        self._results.publish(answer, message, self.camera_frame(message), base_from_camera)
        self._debug.publish(answer, frame, message)

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
