"""Frames of one camera through a tracker: what an evaluation without a robot needs."""

from __future__ import annotations

from dataclasses import replace

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking.options import TrackerOptions
from relpose_ros.localization.tracking.tracker import PoseTracker
from relpose_ros.types import Localization, State

NO_POSE = "no_pose"
"""Stands for what became of a frame that the localizer could not place."""

BAD_FIX = "bad_fix"
"""Stands for what became of an answer whose numbers are no fix, as `Fix` judges."""


class CameraTracker:
    """A PoseTracker whose base is the camera."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.tracker = PoseTracker(options)
        self._confidence = 0.0

    def odometry(self, stamp: float, odom_from_camera: Rigid) -> None:
        """A sample of odometry."""
        self.tracker.odometry(stamp, odom_from_camera)

    def frame(self, stamp: float, answer: Localization) -> tuple[str, Localization]:
        """What became of a localized frame (a `Kind`, `NO_POSE` or `BAD_FIX`), and what is published then."""
        kind = self._offered(stamp, answer)
        pose = self.tracker.pose(stamp)
        kept = replace(answer, map_from_camera=None, covariance=None, confidence=0.0, matches=None)
        if pose is None or pose.state is State.UNLOCALIZED:
            reason = self.tracker.missing(stamp) if pose is None else pose.reason
            return kind, replace(kept, state=State.UNLOCALIZED, reason=reason, stamp=stamp)
        trust = self.tracker.options.hint_trust if pose.by_hint else 1.0
        published = replace(
            kept, state=pose.state, reason=pose.reason, stamp=stamp, map_from_camera=pose.map_from_base,
            covariance=pose.covariance, confidence=min(self._confidence, trust),
        )  # fmt: skip
        return kind, published

    def _offered(self, stamp: float, answer: Localization) -> str:
        try:
            decision = self.tracker.offer(stamp, answer)
        except ValueError:
            return BAD_FIX
        if decision is None:
            return NO_POSE
        if decision.used:
            self._confidence = answer.confidence
        return decision.kind.value
