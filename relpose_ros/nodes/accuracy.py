"""How sure the answers are, in diagnostics: the position's ellipse against thresholds, and the heading."""

from __future__ import annotations

import math

from rclpy.node import Node

from relpose_ros.geometry.covariance import ellipse_axes
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.complaints import Complaints
from relpose_ros.nodes.health import Health, Level
from relpose_ros.nodes.parameters import Parameter

ACCURACY_PARAMETERS = (
    Parameter("warn_ellipse_size", 0.5, "diagnostics warn when the longer half axis of the 95 % ellipse "
              "of the position (x, y of the map) is larger; metres", range=(0.0, 1e6), live=True),
    Parameter("error_ellipse_size", 2.0, "the same, for an error; metres", range=(0.0, 1e6), live=True),
)  # fmt: skip
"""Parameters of the nodes that publish poses."""

NORMAL_95 = 1.959964
"""97.5 % quantile of the normal distribution."""

ELLIPSE, HEADING = "ellipse 95 % m", "heading 95 % deg"
"""Their names in diagnostics."""


def forget_accuracy(health: Health) -> None:
    """There is no pose whose sizes these could be."""
    health.note(ELLIPSE, None)
    health.note(HEADING, None)


class AccuracyMonitor:
    """A listener of the node's answers."""

    def __init__(self, node: Node, health: Health, complaints: Complaints) -> None:
        self._node, self._health, self._complaints = node, health, complaints

    def on_answer(self, answer: Answer) -> None:
        """Note the sizes. Without a mount they are those of the camera, whose centre is as uncertain."""
        covariance = answer.found.covariance if answer.covariance is None else answer.covariance
        if covariance is None:
            forget_accuracy(self._health)
            return
        longer, shorter = ellipse_axes(covariance[:2, :2]).tolist()
        heading = math.degrees(NORMAL_95 * math.sqrt(max(covariance[5, 5], 0.0)))
        self._health.note(ELLIPSE, f"{longer:.3f} x {shorter:.3f}")
        self._health.note(HEADING, f"{heading:.2f}")
        self._judge(longer)

    def reset(self, reason: str) -> None:
        """What was noted was of another time or map."""
        forget_accuracy(self._health)
        self._complaints.solved("ellipse")

    def _judge(self, size: float) -> None:
        for level, name in ((Level.ERROR, "error_ellipse_size"), (Level.WARN, "warn_ellipse_size")):
            limit = self._node.get_parameter(name).value
            if size > limit:
                text = f"the position is uncertain: 95 % ellipse of {size:.2f} m, {name} is {limit:g} m"
                self._complaints.report("ellipse", level, text)
                return
        self._complaints.solved("ellipse")
