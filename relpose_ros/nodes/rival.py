"""Does somebody else publish map -> odom? TF takes both, and the robot jumps between them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.transform_buffer import TransformError

if TYPE_CHECKING:
    from relpose_ros.nodes.pose_node import PoseNode

REMEMBERED = 500
"""Transforms of our own that are known again when TF brings them back."""

SAME = 1e-6
"""Metres and radians that a transform of our own may differ by after its way through a message."""


class RivalWatch:
    """Compares the newest map -> odom that TF has with those that this node has sent. Thread-safe."""

    def __init__(self, node: PoseNode) -> None:
        self._node, self._lock = node, threading.Lock()
        self._sent: deque[tuple[float, Rigid]] = deque(maxlen=REMEMBERED)

    def sent(self, stamp: float, map_from_odom: Rigid) -> None:
        """Remember a transform of our own; `stamp` in seconds."""
        with self._lock:
            self._sent.append((stamp, map_from_odom))

    def look(self) -> None:
        """Complain about a transform that is not ours."""
        settings = self._node.settings
        source = self._node.transforms.open()
        if source is None:
            return
        try:
            stamp, found = source.latest(settings["global_frame_id"], settings["odom_frame_id"])
        except TransformError:
            return  # nobody publishes it
        if not self._is_ours(stamp, found):
            frames = f"{settings['global_frame_id']} -> {settings['odom_frame_id']}"
            text = f"another node publishes {frames} too: stop it, or set tf_broadcast to false here"
            self._node.complaints.report("rival", Level.ERROR, text)

    def _is_ours(self, stamp: float, found: Rigid) -> bool:
        with self._lock:
            ours = [pose for sent, pose in self._sent if sent == stamp]
        return any(max(pose.distance_to(found)) < SAME for pose in ours)
