"""Which references of the map resemble an image: image -> Neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relpose_msgs.msg import Neighbour, Neighbours

from relpose_ros.nodes.camera_node import CameraNode, ImageMessage
from relpose_ros.nodes.loading import MAP_PARAMETERS, RETRIEVAL_PARAMETERS, Loaded, load
from relpose_ros.nodes.messages import pose_message, stage_messages
from relpose_ros.types import Frame


class RetrievalNode(CameraNode):
    """Topics: `image`, `camera_info` in; `~/neighbours`, `/diagnostics` out."""

    def __init__(self, load: Callable[[dict[str, Any]], Loaded] = load) -> None:
        super().__init__("retrieval", (*MAP_PARAMETERS, *RETRIEVAL_PARAMETERS))
        loaded = load(self.settings)
        self._localizer, self._map_id = loaded.localizer, loaded.map_id
        self.health.note("map", loaded.map_id)
        self.health.note("describer", loaded.describer)
        self._publisher = self.create_publisher(Neighbours, "~/neighbours", 10)
        self.start()

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Retrieve and publish; an image in which there is nothing to describe has no neighbours."""
        neighbours, stages = self._localizer.retrieve_frame(frame)
        out = Neighbours(map_id=self._map_id, neighbours=[neighbour_message(n) for n in neighbours])
        out.header.stamp, out.header.frame_id = message.header.stamp, self.camera_frame(message)
        out.stages = stage_messages(stages)
        self._publisher.publish(out)


def neighbour_message(neighbour: Any) -> Neighbour:
    """A neighbour as a message."""
    return Neighbour(
        reference=neighbour.name,
        index=int(neighbour.index),
        score=float(neighbour.score),
        map_from_camera=pose_message(neighbour.map_from_camera),
    )
