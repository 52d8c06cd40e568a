"""Complaints with rclpy's own logger, which has rules of its own."""

from __future__ import annotations

import rclpy.logging

from relpose_ros.nodes.complaints import Complaints
from relpose_ros.nodes.health import Health, Level


def test_warnings_and_errors_take_turns():
    """rclpy raises ValueError where one line of code logs at two severities."""
    complaints = Complaints(Health(), rclpy.logging.get_logger("test_complaints_log"))
    for n, level in enumerate((Level.WARN, Level.ERROR, Level.WARN)):
        complaints.report(f"topic {'abc'[n]}", level, "something is wrong")
    assert complaints._health.problems() == {"topic a", "topic b", "topic c"}
