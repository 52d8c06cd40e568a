"""All roads in one process: an image comes in, a trusted pose or an honest "I don't know" leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relpose_ros.nodes.camera_node import ImageMessage
from relpose_ros.nodes.debug import DebugPublisher
from relpose_ros.nodes.loading import (
    MAP_PARAMETERS,
    MATCHING_PARAMETERS,
    RETRIEVAL_PARAMETERS,
    SCENE_PARAMETERS,
    Loaded,
    load,
)
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.pose_node import POSE_PARAMETERS, PoseNode
from relpose_ros.types import Frame

_OWN = (
    *MAP_PARAMETERS,
    *MATCHING_PARAMETERS,
    *RETRIEVAL_PARAMETERS,
    *SCENE_PARAMETERS,
    Parameter("global_frame_id", "map", "frame of the map: frame_id of ~/pose and ~/result"),
)

PARAMETERS = (*_OWN, *POSE_PARAMETERS)
"""Beside those of every node with a camera."""


class LocalizerNode(PoseNode):
    """In: `image`, `camera_info`. Out: `~/pose`, `~/result`, `~/debug_image`, `~/markers`, `/diagnostics`."""

    def __init__(self, load: Callable[[dict[str, Any]], Loaded] = load) -> None:
        super().__init__("localizer", _OWN)
        loaded = load(self.settings)
        self._localizer = loaded.localizer
        self.health.note("map", loaded.map_id)
        self.health.note("describer", loaded.describer)
        if loaded.scene:
            self.health.note("scene checkpoint", loaded.scene)
        frame = self.settings["global_frame_id"]
        self.answer_in(frame)
        self._debug = DebugPublisher(self, frame, loaded.map)
        self.start()

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Localize one frame and publish what is true about it."""
        answer = self.publish_answer(self._localizer.localize(frame), message)
        self._debug.publish(answer, frame, message)
