"""One search of ~/relocalize: which answer ends it, and why the others do not."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relpose_msgs.action import Relocalize

from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint
from relpose_ros.localization.tracking.fusion import gate
from relpose_ros.localization.tracking.hinted_answers import HintedAnswers, Sighting
from relpose_ros.localization.tracking.reporting import distrusted_covariance
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.hints import Hints
from relpose_ros.nodes.initial_pose import Array
from relpose_ros.nodes.messages import seconds
from relpose_ros.nodes.tracked_pose import tracked_message
from relpose_ros.nodes.tracking import Tracking
from relpose_ros.types import State

if TYPE_CHECKING:
    from relpose_ros.localization.tracking import Decision
    from relpose_ros.nodes.pose_node import PoseNode

Verdict = tuple[Relocalize.Result | None, str]
"""The result if an answer ends the search, else why it does not."""


@dataclass
class Search:
    """One goal in work. Written in the worker's thread, read in the executor's, under `lock`.

    `hint` is the goal's, `given` the same as `Hints` knows it, and `hinted` are the answers that stand by it.
    """

    deadline: float
    hinted: HintedAnswers
    hint: Hint | None = None
    given: Hint | None = None
    ended: str = ""
    frames: int = 0
    last_reason: str = "no image yet"
    best_confidence: float = 0.0
    found: Relocalize.Result | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class SearchJudge:
    """Says of each answer, in the worker's thread, whether a search ends with it."""

    def __init__(self, node: PoseNode, tracking: Tracking, hints: Hints) -> None:
        self._node, self._tracking, self._hints = node, tracking, hints

    def judged(self, search: Search, answer: Answer, decision: Decision | None) -> Verdict:
        """Without a pose of the base it cannot."""
        if answer.map_from_base is None or answer.covariance is None:
            return None, answer.found.reason or "no pose of the base"
        here = Sighting(seconds(answer.stamp), answer.map_from_base, answer.covariance)
        if self._tracking.tracks:
            return self._tracked(answer, here.stamp, decision)
        if answer.found.state is not State.LOCALIZED:
            return self._by_hint(search, answer, here)
        hint = self._in_use(search) or search.hint
        if hint is not None and not self._agree(hint, here):
            return None, "it disagrees with the hint"
        return self._found(answer, here.map_from_base, here.covariance, answer.found.reason), ""

    def _tracked(self, answer: Answer, stamp: float, decision: Decision | None) -> Verdict:
        """With odometry: what the tracker made of it."""
        pose = self._tracking.at(stamp)
        if decision is None or not decision.used or pose is None:
            return None, "not judged" if decision is None else decision.reason
        reason = "" if pose.state is State.LOCALIZED else f"{pose.state.value}: {pose.reason}"
        reason = "; ".join(part for part in (reason, answer.found.reason) if part)
        trust = self._tracking.tracker.options.hint_trust if pose.by_hint else 1.0
        return self._found(answer, pose.map_from_base, pose.covariance, reason, trust), ""

    def _by_hint(self, search: Search, answer: Answer, here: Sighting) -> Verdict:
        """Without odometry: a degraded answer counts where others follow it, all found with the hint."""
        hint = self._in_use(search)
        if search.given is None or hint is None:
            return None, f"degraded: {answer.found.reason}"
        if not hint.agrees(here.map_from_base, here.covariance):
            return None, f"degraded, and it disagrees with the hint: {answer.found.reason}"
        row, options = search.hinted, self._tracking.tracker.options
        self._hints.hold(search.given, here.stamp, row.add(here, hint))
        if not row.are_enough:
            return None, (
                f"degraded: {answer.found.reason}; {row.count} of {row.wanted} answers that agree with each "
                f"other and with the hint, over {row.lasted:.2f} of {options.start_seconds:g} s"
            )
        agree = f"{row.count} answers agree with each other and with the hint"
        reason = f"degraded: {answer.found.reason}; {agree}"
        covariance = distrusted_covariance(here.covariance, options)
        return self._found(answer, here.map_from_base, covariance, reason, options.hint_trust), ""

    def _in_use(self, search: Search) -> Hint | None:
        """The goal's hint as this image was localized with it, if it was."""
        return None if search.given is None else self._hints.in_use(search.given)

    def _agree(self, hint: Hint, here: Sighting) -> bool:
        squared = nees(hint.map_from_camera.error_to(here.map_from_base), hint.covariance + here.covariance)
        return squared <= gate(self._tracking.tracker.options)

    def _found(
        self, answer: Answer, map_from_base: Rigid, covariance: Array, reason: str, trust: float = 1.0
    ) -> Relocalize.Result:
        """`trust`: the most that its confidence may be."""
        return Relocalize.Result(
            success=True,
            reason=reason,
            pose=tracked_message(self._node, answer.stamp, map_from_base, covariance),
            confidence=min(float(answer.found.confidence), trust),
        )
