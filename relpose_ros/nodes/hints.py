"""The hint in use: what somebody said of where the base is, until an answer settles it or it is too old."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.tracking import Tracking
from relpose_ros.types import State

if TYPE_CHECKING:
    from relpose_ros.nodes.pose_node import PoseNode

Array = NDArray[np.float64]

HINT_PARAMETERS = (
    Parameter("hint_seconds", 60.0, "seconds for which localization uses a hint (initialpose, "
              "initial_pose.*, a saved pose, that of ~/relocalize) that no answer has settled, from the "
              "first image on; 0: only tracking uses hints", range=(0.0, 3600.0)),
    Parameter("hint_speed", 1.0, "m/s (and rad/s) by which the standard deviations of a hint grow where no "
              "odometry says how the robot moves", range=(0.0, 100.0)),
)  # fmt: skip
"""Parameters of nodes that take hints."""


class Hints:
    """Gives hints to the tracker, and to the localizer while they count. A listener of the node's answers.

    With odometry a hint is carried by it, and settled by what the tracker makes of the next answers. Without,
    it counts until the first answer that is localized, whatever that says, and for less with every second
    since it was said, or since it was last held.
    One that was carried does not count while odometry has stopped: the robot may be anywhere.
    """

    def __init__(self, node: PoseNode, tracking: Tracking) -> None:
        self._node, self._tracking = node, tracking
        self._given: Hint | None = None
        self._used: Hint | None = None
        self._carried: Hint | None = None
        self._here: Hint | None = None
        self._held: tuple[float, Hint] | None = None
        self._first: float | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Hear of every answer, and of jumps of time and maps."""
        self._given = None
        self._node.listeners.append(self)

    def listen(self) -> None:
        """While the node is active; the robot may be carried away meanwhile."""
        self._node.while_active.callback(self.reset, "the node was deactivated")

    def give(self, map_from_base: Rigid, covariance: Array, stamp: float) -> None:
        """Take a hint; `stamp` 0: it speaks of now. Raises ValueError where it is none."""
        # Without a stamp it speaks of now, which only odometry can tell.
        self._tracking.tracker.initial(
            map_from_base, covariance, stamp or self._tracking.odometry.newest or 0.0
        )
        with self._lock:
            self._given, self._first, self._held = Hint(map_from_base, covariance), None, None
            self._carried = self._given if self._tracking.tracks else None

    def forget(self, reason: str) -> None:
        """Begin anew, without a hint or a track."""
        self._tracking.reset(reason)
        self.reset(reason)

    def of_base(self, stamp: float) -> Hint | None:
        """The hint of the base at `stamp` (seconds), if there is one that counts."""
        self._here = self._at(stamp)
        return self._here

    @property
    def given(self) -> Hint | None:
        """The hint as it was said, while it may still count."""
        with self._lock:
            return self._given

    def in_use(self, given: Hint) -> Hint | None:
        """What `of_base` said last, if that came of `given`. In the worker's thread."""
        return self._here if self._used is given else None

    def hold(self, given: Hint, stamp: float, here: Hint) -> None:
        """Without odometry: answers say that the robot stands where `given` is `here` at `stamp`.

        From there on it grows. A hint that no longer counts stays so.
        """
        with self._lock:
            if self._given is given:
                self._held = stamp, here

    def _at(self, stamp: float) -> Hint | None:
        with self._lock:
            given = self._used = self._given
            if given is None:
                return None
            self._first = stamp if self._first is None else self._first
            age = stamp - self._first
            since, here = self._held or (self._first, given)
        is_old = age >= self._node.settings["hint_seconds"]
        if not is_old and not self._tracking.tracks:
            moved = self._node.settings["hint_speed"] * max(stamp - since, 0.0)
            return None if self._carried is given else here.after(moved)
        self._carried = given
        carried = None if is_old else self._tracking.tracker.prior_at(stamp)
        if carried is None:
            self._drop(given)
            return None
        return Hint(*carried)

    def on_answer(self, answer: Answer) -> None:
        """Without odometry nobody knows where the robot goes after it was found."""
        if answer.found.state is State.LOCALIZED and not self._tracking.tracks:
            self._drop(self._used)

    def reset(self, reason: str) -> None:
        """Whatever was said is worth nothing from here on."""
        with self._lock:
            self._given = None

    def _drop(self, hint: Hint | None) -> None:
        """That hint no longer counts; one that has come meanwhile does."""
        with self._lock:
            if self._given is hint:
                self._given = None
