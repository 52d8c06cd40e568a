"""All roads in one process: an image comes in, a trusted pose or an honest "I don't know" leaves."""

from __future__ import annotations

from relpose_ros.nodes.contract import CONTRACT_PARAMETERS, Contract
from relpose_ros.nodes.debug import DebugPublisher
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.loading import (
    MAP_PARAMETERS,
    MATCHING_PARAMETERS,
    RELATIVE_PARAMETERS,
    RETRIEVAL_PARAMETERS,
    SCENE_PARAMETERS,
    Loaded,
    load,
)
from relpose_ros.nodes.map_holder import Load, MapHolder
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.pose_node import POSE_PARAMETERS, PoseNode
from relpose_ros.nodes.warm_up import camera_of, synthetic_frame
from relpose_ros.types import Frame

_OWN = (
    *MAP_PARAMETERS,
    *MATCHING_PARAMETERS,
    *RELATIVE_PARAMETERS,
    *RETRIEVAL_PARAMETERS,
    *SCENE_PARAMETERS,
    Parameter("global_frame_id", "map", "frame of the map: frame_id of ~/pose and ~/result"),
    *CONTRACT_PARAMETERS,
)

PARAMETERS = (*_OWN, *POSE_PARAMETERS)
"""Beside those of every node with a camera."""


class LocalizerNode(PoseNode):
    """In: `image`, `camera_info`. Out: `~/pose`, `~/result`, `~/debug_image`, `~/markers`, `~/state`,
    `/diagnostics`. Services: `~/load_map`. And, with odometry, what `contract.Contract` says."""

    def __init__(self, load: Load = load) -> None:
        super().__init__("localizer", _OWN)
        self._map = MapHolder(self, load, warm, lambda: self.reset_listeners("there is another map"))
        self._contract = Contract(self, lambda: self._map.loaded)

    def load(self) -> None:
        """Load the map and open the topics."""
        super().load()
        self._map.open()
        frame = self.settings["global_frame_id"]
        self.answer_in(frame)
        self._contract.load()
        self._debug = DebugPublisher(self, frame)

    def listen(self) -> None:
        """Odometry before images."""
        self._contract.listen()
        super().listen()

    def warm_up(self) -> None:
        """Localize a made-up frame."""
        warm(self._map.loaded)

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Localize one frame and publish what is true about it."""
        loaded = self._map.loaded
        answer = self.publish_answer(loaded.localizer.localize(frame), message)
        if self.answers_count:
            self._debug.publish(answer, frame, message, loaded.map)


def warm(loaded: Loaded) -> None:
    """Localize a made-up frame."""
    loaded.localizer.localize(synthetic_frame(camera_of(loaded.map)))
