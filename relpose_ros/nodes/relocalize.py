"""~/relocalize: forget where the robot was and find it from images, with progress and a reason."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from rclpy.action.server import ActionServer, CancelResponse
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.task import Future as RosFuture
from relpose_msgs.action import Relocalize

from relpose_ros.localization.hint import Hint
from relpose_ros.localization.tracking.hinted_answers import HintedAnswers
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.hints import Hints
from relpose_ros.nodes.initial_pose import InitialPose, hint_from_message
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.relocalize_search import Search, SearchJudge
from relpose_ros.nodes.tracking import Tracking

if TYPE_CHECKING:
    from relpose_ros.localization.tracking import Decision
    from relpose_ros.nodes.pose_node import PoseNode

RELOCALIZE_PARAMETERS = (
    Parameter("relocalize_timeout", 30.0, "seconds that ~/relocalize looks if its goal names no timeout",
              range=(0.1, 3600.0)),
)  # fmt: skip
"""Parameters of nodes that serve ~/relocalize."""

TICK = 0.05
"""Seconds between two looks at a search."""


class RelocalizeServer:
    """Serves one goal at a time. It ends the track; the search goes on by itself when the goal does not."""

    def __init__(self, node: PoseNode, tracking: Tracking, initial: InitialPose, hints: Hints) -> None:
        self._node, self._tracking, self._initial, self._hints = node, tracking, initial, hints
        self._judge = SearchJudge(node, tracking, hints)
        self._search: Search | None = None
        # It lives as long as the node, as its services do.
        self._server = ActionServer(
            node, Relocalize, "~/relocalize", self._execute, cancel_callback=lambda _: CancelResponse.ACCEPT
        )
        node.while_alive.callback(self._server.destroy)

    def load(self) -> None:
        """Hear of every answer."""
        self._tracking.followers.append(self._follow)
        self._node.listeners.append(self)

    def listen(self) -> None:
        """While the node is active."""
        self._node.while_active.callback(self._stop, "the node was deactivated")

    async def _execute(self, goal: Any) -> Relocalize.Result:
        problem = self._begin(goal.request)
        if problem:
            goal.abort()
            return Relocalize.Result(reason=problem)
        search = self._search
        assert search is not None
        try:
            result = await self._end(goal, search)
        finally:
            self._search = None
        self._node.health.count("relocalizations", "found" if result.success else result.reason)
        if result.success:
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return result

    def _begin(self, request: Relocalize.Goal) -> str:
        """Start a search. Why it cannot be, or the empty string."""
        if not self._node.is_active:
            return "the node is not active"
        if self._search is not None:
            return "another relocalization is under way; cancel it first"
        if not math.isfinite(request.timeout) or request.timeout < 0:
            return f"expected a timeout of 0 or more seconds, got {request.timeout}"
        settings = self._node.settings
        deadline = time.monotonic() + (request.timeout or settings["relocalize_timeout"])
        search = Search(deadline, HintedAnswers(settings["hint_speed"], self._tracking.tracker.options))
        if request.use_hint:
            try:
                search.hint = Hint(*hint_from_message(request.hint, settings["global_frame_id"]))
            except ValueError as error:
                return f"the hint cannot be used: {error}"
        if self._tracking.is_off or not request.use_hint:
            self._hints.forget("a relocalization was asked for")
        if request.use_hint:
            if problem := self._initial.give(request.hint):
                return problem
            search.given = self._hints.given
        self._search = search
        return ""

    async def _end(self, goal: Any, search: Search) -> Relocalize.Result:
        """Wait, telling the progress."""
        done: Any = RosFuture(executor=self._node.executor)
        told = 0

        def look() -> None:
            nonlocal told
            with search.lock:
                frames, result = search.frames, self._result(goal, search)
            if frames > told:
                told = frames
                goal.publish_feedback(feedback(search))
            if result is not None and not done.done():
                done.set_result(result)

        timer = self._node.create_timer(TICK, look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        try:
            found: Relocalize.Result = await done
            return found
        finally:
            self._node.destroy_timer(timer)

    def _result(self, goal: Any, search: Search) -> Relocalize.Result | None:
        """What the goal ends with, or None while it goes on."""
        if search.found is not None:
            return search.found
        tried = f"{search.frames} images tried, the last: {search.last_reason}"
        if goal.is_cancel_requested:
            return Relocalize.Result(reason=f"cancelled; {tried}")
        if search.ended:
            return Relocalize.Result(reason=f"{search.ended}; {tried}")
        if time.monotonic() > search.deadline:
            return Relocalize.Result(reason=f"timeout; {tried}")
        return None

    def on_answer(self, answer: Answer) -> None:
        """`_follow` hears of it, with what became of it."""

    def reset(self, reason: str) -> None:
        """A search round a hint of another map or time is none; one without goes on."""
        search = self._search
        if search is not None and search.hint is not None:
            search.ended = reason

    def _stop(self, reason: str) -> None:
        if self._search is not None:
            self._search.ended = reason

    def _follow(self, answer: Answer, decision: Decision | None) -> None:
        search = self._search
        if search is None or search.ended:
            return
        result, reason = self._judge.judged(search, answer, decision)
        with search.lock:
            search.frames += 1
            search.last_reason = reason
            search.best_confidence = max(search.best_confidence, float(answer.found.confidence))
            search.found = search.found or result


def feedback(search: Search) -> Relocalize.Feedback:
    """How far a search has come."""
    return Relocalize.Feedback(
        frames_tried=search.frames,
        last_reason=search.last_reason,
        best_confidence=search.best_confidence,
    )
