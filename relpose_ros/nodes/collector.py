"""Collects what the localizer publishes, and when, for scoring."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from relpose_msgs.msg import LocalizationResult

from relpose_ros.nodes.messages import nanoseconds, rigid_from_pose, seconds, stage_times
from relpose_ros.nodes.results import STATES
from relpose_ros.types import Localization


@dataclass(frozen=True)
class Sample:
    """One answer: its age (real seconds from sending the image to having the answer)."""

    at: float
    age: float


class Collector:
    """Subscribes to ~/result and ~/pose of the localizer. `sent` is called for every image played."""

    def __init__(self, node: Node, localizer: str) -> None:
        self._lock = threading.Lock()
        self._sent_at: dict[int, float] = {}
        self.answers: dict[int, Localization] = {}
        self.samples: list[Sample] = []
        self.images_sent = self.poses = 0
        self._localizer = localizer
        self._heard: list[str] = []
        self._results = node.create_subscription(
            LocalizationResult, f"{localizer}/result", self._on_result, 50
        )
        self._pose = node.create_subscription(
            PoseWithCovarianceStamped, f"{localizer}/pose", self._on_pose, 50
        )
        self._diagnostics = node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, 10
        )

    def is_connected(self) -> bool:
        """Whether the localizer's publishers have been found."""
        return all(s.get_publisher_count() > 0 for s in (self._results, self._pose))

    def is_hearing(self) -> bool:
        """Whether the localizer itself has found the player's publishers.

        A writer cannot see when a best-effort reader knows it, and what it sends before is lost.
        """
        return bool(self._heard) and "0" not in self._heard

    def sent(self, stamp_ns: int) -> None:
        """An image was sent now."""
        with self._lock:
            self.images_sent += 1
            self._sent_at[stamp_ns] = time.monotonic()

    def is_last_answered(self) -> bool:
        """Whether the newest image that was sent has been answered."""
        with self._lock:
            return not self._sent_at or max(self._sent_at) in self.answers

    def _on_result(self, message: LocalizationResult) -> None:
        now, stamp = time.monotonic(), nanoseconds(message.header.stamp)
        with self._lock:
            sent = self._sent_at.get(stamp, now)
            self.samples.append(Sample(now, now - sent))
            self.answers.setdefault(stamp, localization(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._localizer:
                self._heard = [v.value for v in status.values if v.key.endswith(" publishers")]

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.poses += 1


def localization(message: LocalizationResult) -> Localization:
    """A result message as the answer that it was made from (without its matches)."""
    has_pose = message.state != LocalizationResult.UNLOCALIZED
    covariance = np.array(message.map_from_camera.covariance, float).reshape(6, 6)
    return Localization(
        state=next(state for state, number in STATES.items() if number == message.state),
        reason=message.reason,
        map_from_camera=rigid_from_pose(message.map_from_camera.pose) if has_pose else None,
        covariance=covariance if has_pose else None,
        confidence=float(message.confidence),
        method=message.method,
        inliers=int(message.inliers),
        references=tuple(message.references),
        latency_ms=stage_times(message.stages),
        stamp=seconds(message.header.stamp),
    )
