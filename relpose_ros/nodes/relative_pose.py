"""Where the camera is, seen from each neighbour: image + Neighbours -> RelativePoses."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from relpose_msgs.msg import Neighbours, RelativePose, RelativePoses

from relpose_ros.errors import MapError
from relpose_ros.nodes.camera_node import CameraNode, ImageMessage
from relpose_ros.nodes.loading import MAP_PARAMETERS, MATCHING_PARAMETERS, Loaded, load
from relpose_ros.nodes.messages import nanoseconds, pose_with_covariance, stage_messages
from relpose_ros.types import Frame

WAITING = 15
"""Images (and neighbour lists) kept while their partner is awaited: half a second at 30 Hz."""


class RelativePoseNode(CameraNode):
    """Topics: `image`, `camera_info`, `neighbours` in; `~/relative_poses`, `/diagnostics` out."""

    def __init__(self, load: Callable[[dict[str, Any]], Loaded] = load) -> None:
        super().__init__("relative_pose", (*MAP_PARAMETERS, *MATCHING_PARAMETERS))
        loaded = load(self.settings)
        self._localizer, self._map_id = loaded.localizer, loaded.map_id
        self.health.note("map", loaded.map_id)
        self._images: OrderedDict[int, ImageMessage] = OrderedDict()
        self._neighbours: OrderedDict[int, Neighbours] = OrderedDict()
        self._lock = threading.Lock()
        self._publisher = self.create_publisher(RelativePoses, "~/relative_poses", 10)
        self.create_subscription(Neighbours, "neighbours", self._on_neighbours, 10)
        self.start()

    def accept(self, message: ImageMessage) -> None:
        """Keep the image until its neighbours come (or use it if they are here already)."""
        self._remember(self._images, message)
        self._pair(nanoseconds(message.header.stamp))

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Measure relative poses to the neighbours of this image and publish them."""
        with self._lock:
            listed = self._neighbours.pop(nanoseconds(message.header.stamp), None)
        if listed is None:
            return
        neighbours = self._neighbours_of(listed)
        started = time.perf_counter()
        measured = self._localizer.relative_poses(frame, neighbours)
        out = RelativePoses(map_id=self._map_id, relative_poses=[relative_message(r) for r in measured])
        out.header.stamp, out.header.frame_id = message.header.stamp, self.camera_frame(message)
        out.stages = stage_messages({"total": 1e3 * (time.perf_counter() - started)})
        self._publisher.publish(out)

    def listened_to(self) -> dict[str, str]:
        """Topics, by the name that diagnostics have for them."""
        return super().listened_to() | {"neighbours": self.resolve_topic_name("neighbours")}

    def forget(self) -> None:
        """Time has jumped back."""
        with self._lock:
            self._images.clear()
            self._neighbours.clear()

    def _neighbours_of(self, listed: Neighbours) -> list[Any]:
        """The references that a message lists. Raises MapError when they are those of another map."""
        if listed.map_id != self._map_id:
            raise MapError(
                f"neighbours are of map {listed.map_id!r}, but this node has {self._map_id!r}; "
                "start both nodes with the same map"
            )
        return [self._localizer.neighbour(n.reference, n.score) for n in listed.neighbours]

    def _on_neighbours(self, message: Neighbours) -> None:
        self.health.count("neighbour lists")
        self._remember(self._neighbours, message)
        self._pair(nanoseconds(message.header.stamp))

    def _remember(self, memory: OrderedDict[int, Any], message: Any) -> None:
        with self._lock:
            memory[nanoseconds(message.header.stamp)] = message
            while len(memory) > WAITING:
                memory.popitem(last=False)

    def _pair(self, stamp_ns: int) -> None:
        """Hand the image to the worker once both are here."""
        with self._lock:
            image = self._images.pop(stamp_ns, None) if stamp_ns in self._neighbours else None
        if image is not None:
            self.health.count("paired")
            super().accept(image)


def relative_message(measured: Any) -> RelativePose:
    """A relative pose as a message."""
    return RelativePose(
        reference=measured.reference,
        reference_from_camera=pose_with_covariance(measured.reference_from_camera, measured.covariance),
        scale_known=bool(measured.scale_known),
        inliers=int(measured.inliers),
        matches=int(measured.matches),
    )
