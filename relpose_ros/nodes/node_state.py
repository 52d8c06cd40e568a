"""~/state: what a node is and what it knows, for whoever comes late."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from relpose_msgs.msg import NodeState

from relpose_ros.nodes.health import without_numbers


@dataclass(frozen=True)
class Said:
    """The fields of relpose_msgs/NodeState but for the stamp."""

    lifecycle: str = "unconfigured"
    localization: int = NodeState.NONE
    reason: str = ""
    map_id: str = ""
    frame: str = ""


class StatePublisher:
    """Publishes NodeState, latched, when it changes in more than the numbers of a reason. Thread-safe."""

    def __init__(self, node: Node) -> None:
        self._node, self._lock, self._said = node, threading.Lock(), Said()
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(NodeState, "~/state", latched)
        self._publish(self._said)

    def say(self, **changes: Any) -> None:
        """Change some fields."""
        with self._lock:
            self._change(replace(self._said, **changes))

    def say_if_active(self, **changes: Any) -> None:
        """Change some fields, unless the node has been deactivated meanwhile."""
        with self._lock:
            if self._said.lifecycle == "active":
                self._change(replace(self._said, **changes))

    def _change(self, said: Said) -> None:
        if _plain(said) != _plain(self._said):
            self._said = said
            self._publish(said)

    def _publish(self, said: Said) -> None:
        if not self._node.context.ok():
            return  # the process is ending
        out = NodeState(
            lifecycle=said.lifecycle, localization=said.localization, reason=said.reason, map_id=said.map_id
        )
        out.header.stamp, out.header.frame_id = self._node.get_clock().now().to_msg(), said.frame
        self._publisher.publish(out)


def _plain(said: Said) -> Said:
    return replace(said, reason=without_numbers(said.reason))
