"""What every node that answers images with poses does: the mount, ~/pose and ~/result, counting answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from builtin_interfaces.msg import Time

from relpose_ros.errors import RelposeError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.accuracy import ACCURACY_PARAMETERS, AccuracyMonitor, forget_accuracy
from relpose_ros.nodes.answers import Answer, AnswerListener
from relpose_ros.nodes.camera_node import CameraNode
from relpose_ros.nodes.channel import ALONE
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.mount import Mount, Mounted, WaitedOnce, open_mounts
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.results import STATES, ResultPublisher, truthful
from relpose_ros.nodes.transforms import SharedTransforms
from relpose_ros.types import Localization, State

POSE_PARAMETERS = (
    Parameter("base_frame_id", "base_link", "whose pose ~/pose gives; empty: the camera's own optical frame"),
    Parameter("base_from_camera", [], "pose of the camera's optical frame in the base frame: "
              "x y z qx qy qz qw (metres), of several cameras one after the other; empty: from TF"),
    Parameter("tf_timeout", 0.1, "seconds to wait for TF to reach the image's stamp", range=(0.0, 2.0)),
    Parameter("minimum_confidence", 0.0, "poses below this go to ~/result only", range=(0.0, 1.0), live=True),
    Parameter("publish_degraded", True, "whether degraded poses go to ~/pose too", live=True),
    *ACCURACY_PARAMETERS,
)  # fmt: skip
"""Parameters of every node that publishes poses, beside the name of the map's frame."""

STALE = 5.0
"""Seconds without an answer after which ~/state says that nothing is known."""


class PoseNode(CameraNode):
    """Base of the nodes that localize. Out: `~/pose`, `~/result`, `~/state`, `/diagnostics`.

    A subclass fills `load`, where it calls `answer_in`, and calls `publish_answer` in `process`. Whoever
    wants to know the answers is appended to `listeners` in `load`, after `answer_in`; to `doubts`, who knows
    why `~/state` is less than localized though an answer is.
    """

    nothing_known = STATES[State.UNLOCALIZED]

    def __init__(self, name: str, parameters: Sequence[Parameter]) -> None:
        super().__init__(name, (*parameters, *POSE_PARAMETERS))
        self.listeners: list[AnswerListener] = []
        self.doubts: list[Callable[[Answer], str]] = []
        self.transforms = SharedTransforms(self)
        self._map_frame = ""
        self._mounts: dict[str, Mount] = {}
        self._answered_at = 0.0

    def load(self) -> None:
        """Open the mounts. Raises ConfigurationError for numbers that are none."""
        self._mounts = open_mounts(
            self.camera_names,
            self.transforms,
            self.settings["base_frame_id"],
            self.settings["base_from_camera"],
            self.settings["tf_timeout"],
        )
        self.while_configured.callback(self.transforms.close)

    def answer_in(self, map_frame: str) -> None:
        """Open the topics; `map_frame` is the frame_id that poses are given in."""
        self._map_frame = map_frame
        self.listeners += [ResultPublisher(self), AccuracyMonitor(self, self.health, self.complaints)]
        self.while_configured.callback(self.listeners.clear)
        self.while_configured.callback(self.doubts.clear)
        self.state.say(frame=map_frame)

    def publish_answer(
        self, found: Localization, message: ImageMessage, mount: WaitedOnce | None = None
    ) -> Localization:
        """Tell the listeners what is true about an answer, count it, and return what was told.

        `mount`: that of the message, where it was asked for already.
        """
        stamp, frame = message.header.stamp, self.camera_frame(message)
        return self.tell(found, stamp, frame, mount or self.mount_of(message))

    def tell(
        self, found: Localization, stamp: Time, frame: str, mount: Callable[[], Rigid | None]
    ) -> Localization:
        """As `publish_answer`, an answer of whatever `frame` it is; `mount` gives that in the base."""
        found = truthful(found)
        has_places = bool(found.alternatives) and not found.has_pose
        base_from_camera = mount() if has_places or self._fit_for_pose(found) else None
        answer = Answer(found, stamp, frame, self._map_frame, base_from_camera)
        if self.answers_count:
            self._count(answer)
            for listener in self.listeners:
                listener.on_answer(answer)
            self._say_state(answer)
        return found

    def forget(self, reason: str) -> None:
        """What was known by time is worth nothing from here on."""
        self.transforms.forget()
        self.between_frames(lambda: self.reset_listeners(reason))

    def reset_listeners(self, reason: str) -> None:
        """In the worker's thread: what the listeners remember is worth nothing from here on."""
        for listener in self.listeners:
            try:
                listener.reset(reason)
            except Exception as error:  # noqa: BLE001 - the others must hear it too
                self.unexpected(error)

    def lifecycle_changed(self, problem: str = "") -> None:
        """Nothing is known of where the robot is until the first answer."""
        self._answered_at = time.monotonic()
        if not self.is_active:
            forget_accuracy(self.health)
            self.between_frames(lambda: forget_accuracy(self.health))  # an answer may be on its way
        super().lifecycle_changed(problem)

    def watch(self) -> None:
        """Say so when nothing has been answered for a while: "localized" would be a lie."""
        super().watch()
        if time.monotonic() - self._answered_at > STALE:
            reason = f"no answer for {STALE:g} s: {self.health.report().text}"
            self.state.say_if_active(localization=self.nothing_known, reason=reason)

    def _count(self, answer: Answer) -> None:
        found = answer.found
        if found.state is State.LOCALIZED:
            self.health.count("localized")
        else:
            self.health.count(found.state.value, found.reason or "no reason given")
        self.health.note("last state", found.state.value)
        self.health.note("last reason", found.reason)
        self.health.note("last latency ms", f"{found.latency_ms.get('total', 0.0):.1f}")
        self.health.note("last age s", f"{self.age(answer.stamp):.3f}")
        self._answered_at = time.monotonic()

    def _say_state(self, answer: Answer) -> None:
        """Of the answer, or of what it was used for, whichever is known less well."""
        state, reason = answer.found.state, answer.found.reason
        doubt = next((text for doubts in self.doubts if (text := doubts(answer))), "")
        if state is State.LOCALIZED and doubt:
            state, reason = State.DEGRADED, doubt
        self.state.say_if_active(localization=STATES[state], reason=reason)

    def _fit_for_pose(self, found: Localization) -> bool:
        if not found.has_pose or found.confidence < self.get_parameter("minimum_confidence").value:
            return False
        return found.state is State.LOCALIZED or bool(self.get_parameter("publish_degraded").value)

    def mount_of(self, message: ImageMessage) -> WaitedOnce:
        """The mount of the only camera; None: the camera's pose is known but that of the robot is not."""
        return WaitedOnce(lambda wait: self.look_up_mount(message, wait=wait))

    def look_up_mount(self, message: ImageMessage, camera: str = ALONE, wait: bool = True) -> Mounted:
        """The mount at an image; where it is unknown, that is reported."""
        frame, stamp = self.camera_frame(message, camera), message.header.stamp
        topic = f"mount {camera}".strip()
        try:
            mount = self._mounts[camera].base_from_camera(frame, stamp, wait)
        except RelposeError as error:
            if wait:
                self.health.count("poses without mount")
            text = f"the camera's mount is unknown, no ~/pose: {error}"
            if camera:
                text = f"the mount of camera {camera} is unknown, it is left out: {error}"
            self.complaints.report(topic, Level.ERROR, text)
            return Mounted(None, str(error))
        self.complaints.solved(topic)
        return Mounted(mount)
