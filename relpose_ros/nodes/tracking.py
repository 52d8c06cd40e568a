"""Answers and odometry in, a tracked pose out: the node's side of `localization.tracking`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from relpose_ros.localization.tracking import Decision, Kind, PoseTracker, TrackedPose, TrackerOptions
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.messages import seconds
from relpose_ros.nodes.odometry import OdometryInput
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.pose_node import PoseNode
from relpose_ros.types import State

PREFIX = "tracking."
DEFAULT = TrackerOptions()


def _row(name: str, description: str) -> Parameter:
    return Parameter(PREFIX + name, getattr(DEFAULT, name), description)


TRACKING_PARAMETERS = (
    _row("min_consistent_fixes", "answers that must agree with each other before the first tracked pose"),
    _row("start_seconds", "seconds that these must span, where they are more than one"),
    _row("kidnap_fixes", "answers that agree with each other and not with the track until they are followed"),
    _row("kidnap_seconds", "seconds that these must span"),
    _row("gate_probability", "share of right answers that pass the gate (chi-square)"),
    _row("use_degraded", "whether degraded answers may start and move a track; they always refine one"),
    _row("correlation_seconds", "seconds after which 1/e of the variance of two answers is in common"),
    _row("max_speed", "m/s; faster is a jump of odometry"),
    _row("max_turn_rate", "rad/s; likewise"),
    _row("degraded_seconds", "seconds without a used answer until the tracked pose is degraded"),
    _row("lost_metres", "one standard deviation of the position from which on the track is lost; metres"),
    _row("lost_radians", "the same of the rotation; radians"),
    _row("alpha1", "noise of odometry: rotation by turning, rad^2 per rad"),
    _row("alpha2", "rotation by driving, rad^2 per m"),
    _row("alpha3", "translation by driving, m^2 per m"),
    _row("alpha4", "translation by turning, m^2 per rad"),
    _row("alpha5", "translation by time, m^2 per s"),
    _row("alpha6", "rotation by time, rad^2 per s"),
)
"""Options of the tracker that are parameters; docs/tracking.md explains them."""

Follower = Callable[[Answer, Decision | None], None]
"""Is told, in the worker's thread, of every answer and what became of it (None: it was no fix)."""


def tracker_options(settings: dict[str, Any]) -> TrackerOptions:
    """From parameters. Raises ConfigurationError for values out of range."""
    known = {field.name for field in fields(TrackerOptions)}
    given = {name.removeprefix(PREFIX): value for name, value in settings.items() if name.startswith(PREFIX)}
    return TrackerOptions(**{name: value for name, value in given.items() if name in known})


class Tracking:
    """Owns the tracker and feeds it. A listener of the node's answers."""

    def __init__(self, node: PoseNode, is_metric: Callable[[], bool]) -> None:
        self._node, self._is_metric = node, is_metric
        self.tracker = PoseTracker()
        self.odometry = OdometryInput(node, self._on_odometry)
        self.followers: list[Follower] = []
        self.last: Answer | None = None

    def load(self) -> None:
        """With the node's parameters. Raises ConfigurationError for values out of range."""
        self.tracker = PoseTracker(tracker_options(self._node.settings))
        self.last = None
        self._node.listeners.append(self)
        self._node.doubts.append(self.doubt)
        self._node.while_configured.callback(self.followers.clear)

    def listen(self) -> None:
        """While the node is active; the track ends with that, as the robot may be carried away meanwhile."""
        self.last = None  # the frame that was in work at the last deactivation may have come after it
        self._node.while_active.callback(self.reset, "the node was deactivated")
        if self.is_off:
            self._node.health.note("tracking", f"off: {self.is_off}")
            return
        self.odometry.listen()

    @property
    def is_off(self) -> str:
        """Why odometry is not used, or the empty string."""
        for name in ("odom_frame_id", "base_frame_id"):
            if not self._node.settings[name]:
                return f"{name} is empty"
        return ""

    @property
    def tracks(self) -> bool:
        """Whether answers become fixes: odometry flows, and the map is in metres as it is."""
        return not self.is_off and self.odometry.flows and self._is_metric()

    def here(self) -> TrackedPose | None:
        """Where the base is by the newest odometry; None where that is not known well enough to be used."""
        stamp = self.odometry.newest
        return None if stamp is None else self.at(stamp)

    def at(self, stamp: float) -> TrackedPose | None:
        """Where the base is at `stamp` (seconds); None as in `here`."""
        pose = self.tracker.pose(stamp)
        return None if pose is None or pose.state is State.UNLOCALIZED else pose

    def doubt(self, answer: Answer) -> str:
        """Why the tracked pose at an answer's stamp is less than localized; "" where it is not less."""
        pose = self.tracker.pose(seconds(answer.stamp)) if self.tracks else None
        return "" if pose is None or pose.state is State.LOCALIZED else f"the tracked pose: {pose.reason}"

    def on_answer(self, answer: Answer) -> None:
        """Judge the answer, then tell the followers."""
        self.last = answer
        decision = self._judge(answer)
        for follow in tuple(self.followers):
            follow(answer, decision)
        self._say_state(answer)

    def reset(self, reason: str) -> None:
        """Track, hint and odometry are forgotten."""
        self.tracker.reset(reason)
        self.last = None
        self._node.health.note("tracking", None)
        if self._node.context.ok():  # else the process is ending, and there is no log
            for topic in ("fix", "kidnapped"):
                self._node.complaints.solved(topic)

    def _on_odometry(self, stamp: float, odom_from_base: Any) -> None:
        self.tracker.odometry(stamp, odom_from_base)
        for event in self.tracker.take_events():
            self._node.health.count("tracking events", event)
            self._node.complaints.mention("tracking", event)

    def _judge(self, answer: Answer) -> Decision | None:
        if not self.tracks:
            return None
        found, stamp = answer.of_base, seconds(answer.stamp)
        if not found.has_pose and not found.alternatives:
            return None
        self.odometry.wait_for(stamp, self._node.settings["tf_timeout"])
        try:
            decision = self.tracker.offer(stamp, found)
        except ValueError as error:
            self._node.health.count("bad fixes")
            self._node.complaints.report("fix", Level.WARN, f"an answer cannot be tracked: {error}")
            return None
        if decision is not None:
            self._report(decision)
        return decision

    def _report(self, decision: Decision) -> None:
        node, kind = self._node, decision.kind
        node.health.count("fixes", kind.value)
        node.health.note("last fix", f"{kind.value} {decision.reason}".strip())
        if decision.used:
            metres, radians = decision.jump
            node.health.note("last jump of map -> odom", f"{metres:.3f} m, {radians:.4f} rad")
        if kind is Kind.KIDNAPPED:
            text = f"the pose has jumped by {decision.jump[0]:.2f} m: {decision.reason}"
            node.complaints.report("kidnapped", Level.WARN, text, seconds=10.0)
        if kind in (Kind.ACCEPTED, Kind.FIRST, Kind.KIDNAPPED, Kind.PENDING):
            node.complaints.solved("fix")
        elif kind is not Kind.AMBIGUOUS:
            node.complaints.report(
                "fix", Level.WARN, f"an answer was not used, {kind.value}: {decision.reason}"
            )

    def _say_state(self, answer: Answer) -> None:
        if self.is_off:
            return
        if not self.odometry.flows:
            self._node.health.note("tracking", "waiting for odometry")
            return
        if not self._is_metric():
            self._node.health.note("tracking", "off: the map is not in metres, odometry is")
            return
        stamp = seconds(answer.stamp)
        pose = self.tracker.pose(stamp)
        text = self.tracker.missing(stamp) if pose is None else f"{pose.state.value} {pose.reason}".strip()
        self._node.health.note("tracking", text)
