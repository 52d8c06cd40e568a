"""~/relocalize without odometry: which answers end it, and what it then claims."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint
from relpose_ros.localization.tracking import PoseTracker, TrackerOptions
from relpose_ros.localization.tracking.hinted_answers import HintedAnswers
from relpose_ros.nodes.hints import Hints
from relpose_ros.nodes.messages import time_message
from relpose_ros.nodes.relocalize_search import Search, SearchJudge
from relpose_ros.types import State

HINTED = Rigid.from_rotation_vector([0.0, 0.0, 0.5], [1.0, 2.0, 3.0])
WIDE = np.diag([0.25] * 3 + [0.07] * 3)
SHARP = np.diag([1e-4] * 3 + [1e-6] * 3)
OPTIONS = TrackerOptions(min_consistent_fixes=3)


def beside(metres: float) -> Rigid:
    return HINTED.perturbed([metres, 0, 0, 0, 0, 0])


def twin(metres: float) -> Any:
    """A place that looks alike, so far off."""
    return SimpleNamespace(map_from_camera=beside(metres), covariance=SHARP)


class Bench:
    """A search round a hint, in a node that is not there and has no odometry."""

    def __init__(self, options: TrackerOptions = OPTIONS) -> None:
        settings = {"hint_seconds": 60.0, "hint_speed": 1.0, "covariance_mode": "full"}
        settings |= {"global_frame_id": "map"}
        node: Any = SimpleNamespace(settings=settings, listeners=[], while_active=ExitStack())
        tracking: Any = SimpleNamespace(
            tracker=PoseTracker(options), tracks=False, odometry=SimpleNamespace(newest=None)
        )
        self.hints = Hints(node, tracking)
        self.hints.give(HINTED, WIDE, 0.0)
        self.search = Search(0.0, HintedAnswers(1.0, options), Hint(HINTED, WIDE), self.hints.given)
        self.judge = SearchJudge(node, tracking, self.hints)

    def answer(self, stamp: float, pose: Rigid, state: State = State.DEGRADED) -> tuple[Any, str]:
        self.hints.of_base(stamp)
        reason = "" if state is State.LOCALIZED else "the hint alone"
        found = SimpleNamespace(state=state, reason=reason, confidence=0.95)
        answer: Any = SimpleNamespace(
            map_from_base=pose, covariance=SHARP, found=found, stamp=time_message(round(1e9 * stamp))
        )
        out = self.judge.judged(self.search, answer, None)
        self.hints.on_answer(answer)
        return out


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_several_that_agree_end_it_as_degraded(bench):
    for count, stamp in enumerate((10.0, 10.5), 1):
        result, reason = bench.answer(stamp, beside(0.1))
        assert result is None and f"{count} of 3 answers that agree" in reason and "the hint alone" in reason
    result, _ = bench.answer(11.0, beside(0.1))
    assert result.success and result.reason.startswith("degraded: the hint alone; 3 answers agree")
    assert result.confidence == pytest.approx(0.9), "no more than the hint is trusted"
    covariance = np.reshape(result.pose.pose.covariance, (6, 6))
    assert np.sqrt(covariance[0, 0]) > 5.0 / 4, "where the hint is wrong the robot is elsewhere"


def test_they_must_span_some_time(bench):
    assert all(bench.answer(10.0 + 0.03 * k, HINTED)[0] is None for k in range(5))
    assert bench.answer(10.21, HINTED)[0].success


def test_the_hint_holds_while_they_go_on():
    """A second between images: by its age alone the hint would no longer tell the twins apart."""
    bench = Bench(TrackerOptions(min_consistent_fixes=99))
    for k in range(20):  # the robot drives, and the place that looks alike is always 8 m ahead
        assert bench.answer(10.0 + k, beside(0.5 * k))[0] is None
        used = bench.hints.in_use(bench.search.given)
        mine, other = twin(0.5 * k), twin(0.5 * k + 8.0)
        assert used.decides(mine, other) and not used.decides(other, mine)
    assert not Hint(HINTED, WIDE).after(3.0).decides(twin(0.0), twin(8.0))


def test_the_hint_fades_where_no_answer_holds_it(bench):
    bench.answer(10.0, HINTED)
    assert not bench.hints.of_base(14.0).decides(twin(0.0), twin(8.0))


def test_answers_that_jump_do_not_agree(bench):
    for k in range(12):
        result, reason = bench.answer(10.0 + 0.2 * k, beside(1.5 * (k % 2)))
        assert result is None and "1 of 3" in reason


def test_one_that_disagrees_with_the_hint_does_not_count(bench):
    for k in range(6):
        result, reason = bench.answer(10.0 + 0.2 * k, beside(20.0))
        assert result is None and "disagrees with the hint" in reason


def test_without_a_hint_in_use_degraded_answers_do_not_count(bench):
    bench.hints.give(beside(1.0), WIDE, 0.0)  # somebody else's, meanwhile
    for k in range(6):
        result, reason = bench.answer(10.0 + 0.2 * k, HINTED)
        assert result is None and reason == "degraded: the hint alone"


def test_one_that_is_localized_is_compared_with_the_hint_as_it_has_grown(bench):
    """The robot drives: after three seconds it may be metres from where it was said to be."""
    bench.answer(10.0, beside(30.0))
    assert bench.answer(13.0, beside(6.0), State.LOCALIZED)[0].success


def test_also_where_only_tracking_uses_hints():
    bench = Bench()
    bench.search.given = None
    assert bench.answer(10.0, beside(30.0), State.LOCALIZED)[1] == "it disagrees with the hint"


def test_one_that_is_localized_ends_it_as_it_is(bench):
    bench.answer(10.0, beside(50.0), State.LOCALIZED)
    result, _ = bench.answer(10.1, HINTED, State.LOCALIZED)
    assert result.success and result.reason == "" and result.confidence == pytest.approx(0.95)
    assert np.array_equal(np.reshape(result.pose.pose.covariance, (6, 6)), SHARP)
