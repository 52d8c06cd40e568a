"""Publishes a node's health on /diagnostics, and notices a second node of the same name."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from relpose_ros.nodes.health import Health, Level, Report
from relpose_ros.nodes.rates import Rates


class Diagnostics:
    """Publishes a DiagnosticArray every `period` seconds of steady time (a paused bag does not stop it)."""

    def __init__(self, node: Node, health: Health, period: float, topics: Mapping[str, str]) -> None:
        """`topics`: what is listened to, key in diagnostics -> topic; publishers of each are counted."""
        self._node, self._health, self._topics = node, health, topics
        self._rates = Rates(health, ("received", "processed"))
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(period, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _tick(self) -> None:
        self._check_name()
        self._rates.note()
        for key, topic in self._topics.items():
            self._health.note(f"{key} publishers", self._node.count_publishers(topic))
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [status_message(self._node.get_fully_qualified_name(), self._health.report())]
        self._publisher.publish(message)

    def _check_name(self) -> None:
        """Two nodes of one name answer each other's service calls and mix on the same topics."""
        name = self._node.get_name(), self._node.get_namespace()
        same = self._node.get_node_names_and_namespaces().count(name)
        if same < 2:
            self._health.solved("name")
            return
        text = (
            f"{same} nodes are called {self._node.get_fully_qualified_name()}: their topics and "
            "parameters mix; stop one, or start it with --ros-args -r __node:=another_name"
        )
        self._health.problem("name", Level.ERROR, text)
        self._node.get_logger().error(text, throttle_duration_sec=10.0)


def status_message(name: str, report: Report) -> DiagnosticStatus:
    """A report as one DiagnosticStatus."""
    return DiagnosticStatus(
        level=bytes([report.level]),
        name=name,
        message=report.text,
        hardware_id="relpose_ros",
        values=[KeyValue(key=k, value=v) for k, v in report.values.items()],
    )
