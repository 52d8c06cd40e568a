"""Where the camera is, seen from each neighbour: image + Neighbours -> RelativePoses."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

from relpose_msgs.msg import Neighbours, RelativePose, RelativePoses

from relpose_ros.errors import MapError
from relpose_ros.nodes.camera_node import CameraNode
from relpose_ros.nodes.channel import ALONE
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.loading import MAP_PARAMETERS, MATCHING_PARAMETERS, RELATIVE_PARAMETERS, Loaded, load
from relpose_ros.nodes.map_holder import Load, MapHolder
from relpose_ros.nodes.messages import nanoseconds, pose_with_covariance, stage_messages
from relpose_ros.nodes.warm_up import camera_of, synthetic_frame
from relpose_ros.types import Frame

WAITING = 15
"""Images (and neighbour lists) kept while their partner is awaited: half a second at 30 Hz."""


class RelativePoseNode(CameraNode):
    """Topics: `image`, `camera_info`, `neighbours` in; `~/relative_poses`, `~/state`, `/diagnostics` out.
    `~/load_map`."""

    def __init__(self, load: Load = load) -> None:
        super().__init__("relative_pose", (*MAP_PARAMETERS, *MATCHING_PARAMETERS, *RELATIVE_PARAMETERS))
        self._images: OrderedDict[int, ImageMessage] = OrderedDict()
        self._neighbours: OrderedDict[int, Neighbours] = OrderedDict()
        self._lock = threading.Lock()
        self._map = MapHolder(self, load, warm, lambda: self.forget("there is another map"))

    def load(self) -> None:
        """Load the map."""
        self._map.open()
        self._publisher = self.open_publisher(RelativePoses, "~/relative_poses", 10)

    def warm_up(self) -> None:
        """Measure a made-up frame against the first reference."""
        warm(self._map.loaded)

    def listen(self) -> None:
        """Images and neighbours."""
        self.open_subscription(Neighbours, "neighbours", self._on_neighbours, 10, heard_as="neighbours")
        self.while_active.callback(self.forget, "deactivated")
        super().listen()

    def accept(self, message: ImageMessage, camera: str = ALONE) -> None:
        """Keep the image until its neighbours come (or use it if they are here already)."""
        self._remember(self._images, message)
        self._pair(nanoseconds(message.header.stamp))

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Measure relative poses to the neighbours of this image and publish them."""
        with self._lock:
            listed = self._neighbours.pop(nanoseconds(message.header.stamp), None)
        if listed is None:
            return
        loaded = self._map.loaded
        neighbours = neighbours_of(listed, loaded)
        started = time.perf_counter()
        measured = loaded.localizer.relative_poses(frame, neighbours)
        out = RelativePoses(map_id=loaded.map_id, relative_poses=[relative_message(r) for r in measured])
        out.header.stamp, out.header.frame_id = message.header.stamp, self.camera_frame(message)
        out.stages = stage_messages({"total": 1e3 * (time.perf_counter() - started)})
        if self.answers_count:
            self._publisher.publish(out)

    def forget(self, reason: str) -> None:
        """What waits for its partner will never find it."""
        with self._lock:
            self._images.clear()
            self._neighbours.clear()

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


def neighbours_of(listed: Neighbours, loaded: Loaded) -> list[Any]:
    """The references that a message lists. Raises MapError when they are those of another map."""
    if listed.map_id != loaded.map_id:
        raise MapError(
            f"neighbours are of map {listed.map_id!r}, but this node has {loaded.map_id!r}; "
            "give both nodes the same map"
        )
    return [loaded.localizer.neighbour(n.reference, n.score) for n in listed.neighbours]


def warm(loaded: Loaded) -> None:
    """Measure a made-up frame against the first reference."""
    frame = synthetic_frame(camera_of(loaded.map))
    loaded.localizer.relative_poses(frame, [loaded.localizer.neighbour(loaded.map.reference_names[0], 1.0)])


def relative_message(measured: Any) -> RelativePose:
    """A relative pose as a message."""
    return RelativePose(
        reference=measured.reference,
        reference_from_camera=pose_with_covariance(measured.reference_from_camera, measured.covariance),
        scale_known=bool(measured.scale_known),
        inliers=int(measured.inliers),
        matches=int(measured.matches),
    )
