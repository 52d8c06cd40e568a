"""Which references of the map resemble an image: image -> Neighbours."""

from __future__ import annotations

from typing import Any

from relpose_msgs.msg import Neighbour, Neighbours

from relpose_ros.nodes.camera_node import CameraNode
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.loading import MAP_PARAMETERS, RETRIEVAL_PARAMETERS, Loaded, load
from relpose_ros.nodes.map_holder import Load, MapHolder
from relpose_ros.nodes.messages import pose_message, stage_messages
from relpose_ros.nodes.warm_up import camera_of, synthetic_frame
from relpose_ros.types import Frame


class RetrievalNode(CameraNode):
    """Topics: `image`, `camera_info` in; `~/neighbours`, `~/state`, `/diagnostics` out. `~/load_map`."""

    def __init__(self, load: Load = load) -> None:
        super().__init__("retrieval", (*MAP_PARAMETERS, *RETRIEVAL_PARAMETERS))
        self._map = MapHolder(self, load, warm, lambda: None)

    def load(self) -> None:
        """Load the map."""
        self._map.open()
        self._publisher = self.open_publisher(Neighbours, "~/neighbours", 10)

    def warm_up(self) -> None:
        """Retrieve for a made-up frame."""
        warm(self._map.loaded)

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Retrieve and publish; an image in which there is nothing to describe has no neighbours."""
        loaded = self._map.loaded
        neighbours, stages = loaded.localizer.retrieve_frame(frame)
        out = Neighbours(map_id=loaded.map_id, neighbours=[neighbour_message(n) for n in neighbours])
        out.header.stamp, out.header.frame_id = message.header.stamp, self.camera_frame(message)
        out.stages = stage_messages(stages)
        if self.answers_count:
            self._publisher.publish(out)


def warm(loaded: Loaded) -> None:
    """Retrieve for a made-up frame."""
    loaded.localizer.retrieve_frame(synthetic_frame(camera_of(loaded.map)))


def neighbour_message(neighbour: Any) -> Neighbour:
    """A neighbour as a message."""
    return Neighbour(
        reference=neighbour.name,
        index=int(neighbour.index),
        score=float(neighbour.score),
        map_from_camera=pose_message(neighbour.map_from_camera),
    )
