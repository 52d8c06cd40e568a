"""A scene-coordinate network as a node: image -> pose, and what the network thinks of every cell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relpose_ros.nodes.coordinate_topics import CoordinateTopics
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.loading import ALLOW_UNSCALED, LoadedScene, load_scene
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.pose_node import POSE_PARAMETERS, PoseNode
from relpose_ros.nodes.warm_up import synthetic_frame
from relpose_ros.types import Frame

_OWN = (
    Parameter("scene.checkpoint", "", "checkpoint of a scene-coordinate network; required"),
    ALLOW_UNSCALED,
    Parameter("global_frame_id", "", "frame_id of the poses; empty: the frame that the checkpoint names"),
)

PARAMETERS = (*_OWN, *POSE_PARAMETERS)
"""Beside those of every node with a camera."""


class SceneCoordinateNode(PoseNode):
    """In: `image`, `camera_info`. Out: `~/pose`, `~/result`, `~/state`, `~/uncertainty_image`,
    `~/coordinates`."""

    def __init__(self, load: Callable[[dict[str, Any]], LoadedScene] = load_scene) -> None:
        super().__init__("scene_coordinate", _OWN)
        self._load = load
        self._localizer: Any = None

    def load(self) -> None:
        """Load the checkpoint and open the topics."""
        super().load()
        loaded = self._load(self.settings)
        self._localizer = loaded.localizer
        self.while_configured.callback(self._drop)
        frame = self.settings["global_frame_id"] or loaded.info.frame
        self._note(loaded, frame)
        self.answer_in(frame)
        self._cells = CoordinateTopics(self, frame)

    def warm_up(self) -> None:
        """Localize a made-up frame."""
        self._localizer.localize(synthetic_frame())

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Ask the network once, localize, and publish what is true about the frame."""
        started = time.perf_counter()
        cells = self._localizer.coordinates(frame)
        stages = {"coordinates": 1e3 * (time.perf_counter() - started)}
        found = self._localizer.localize_map(frame, cells)
        stages |= {**found.latency_ms, "total": 1e3 * (time.perf_counter() - started)}
        self.publish_answer(replace(found, latency_ms=stages), message)
        if self.answers_count:
            self._cells.publish(cells, frame.image, message)

    def _drop(self) -> None:
        self._localizer = None
        for key in ("checkpoint", "checkpoint sha256", "frame", "scene bounds m"):
            self.health.note(key, None)
        self.state.say(map_id="")

    def _note(self, loaded: LoadedScene, frame: str) -> None:
        """What diagnostics say of the checkpoint."""
        low, high = loaded.info.corners
        self.health.note("checkpoint", loaded.name)
        self.health.note("checkpoint sha256", loaded.digest)
        self.health.note("frame", frame)
        self.state.say(map_id=f"{loaded.name} {loaded.digest}")
        self.health.note("scene bounds m", f"{_corner(low)} to {_corner(high)}")


def _corner(point: Any) -> str:
    return " ".join(f"{value:.2f}" for value in point)
