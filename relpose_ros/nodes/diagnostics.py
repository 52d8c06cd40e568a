"""Publishes a node's health on /diagnostics, and notices a second node of the same name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from relpose_ros.nodes.complaints import Complaints
from relpose_ros.nodes.health import Health, Level, Report
from relpose_ros.nodes.rates import Rates

NAME_PATIENCE = 25.0
"""Seconds for which a second node of the same name may be one that has died: DDS drops a process that was
killed after its lease, which is 20 s unless a profile says otherwise."""


class Diagnostics:
    """Publishes a DiagnosticArray every `period` seconds of steady time (a paused bag does not stop it)."""

    def __init__(
        self,
        node: Node,
        health: Health,
        complaints: Complaints,
        period: float,
        publishers: Callable[[], Mapping[str, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`publishers`: how many are heard, by what is listened to. `clock` gives monotonic seconds."""
        self._node, self._health, self._complaints, self._heard = node, health, complaints, publishers
        self._clock, self._counted = clock, set[str]()
        self._namesake_since: float | None = None
        self._rates = Rates(health, ("received", "processed", "dropped", "localized"))
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(period, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _tick(self) -> None:
        self._check_name()
        self._rates.note()
        self._count_publishers()
        self._complaints.check()
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [status_message(self._node.get_fully_qualified_name(), self._health.report())]
        self._publisher.publish(message)

    def _count_publishers(self) -> None:
        counts = {f"{key} publishers": count for key, count in self._heard().items()}
        for key in self._counted - set(counts):
            self._health.note(key, None)
        for key, count in counts.items():
            self._health.note(key, count)
        self._counted = set(counts)

    def _check_name(self) -> None:
        """Two nodes of one name answer each other's service calls and mix on the same topics.

        One that was killed stays in DDS for a while: only who stays longer is there.
        """
        name = self._node.get_name(), self._node.get_namespace()
        same = self._node.get_node_names_and_namespaces().count(name)
        if same < 2:
            self._namesake_since = None
            self._complaints.solved("name")
            return
        now = self._clock()
        self._namesake_since = now if self._namesake_since is None else self._namesake_since
        if now - self._namesake_since < NAME_PATIENCE:
            return
        text = (
            f"{same} nodes are called {self._node.get_fully_qualified_name()}: their topics and "
            "parameters mix; stop one, or start it with --ros-args -r __node:=another_name"
        )
        self._complaints.report("name", Level.ERROR, text)


def status_message(name: str, report: Report) -> DiagnosticStatus:
    """A report as one DiagnosticStatus."""
    return DiagnosticStatus(
        level=bytes([report.level]),
        name=name,
        message=report.text,
        hardware_id="relpose_ros",
        values=[KeyValue(key=k, value=v) for k, v in report.values.items()],
    )
