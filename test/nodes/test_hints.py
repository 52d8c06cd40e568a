"""How long a hint counts in localization, and who settles it."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking import Fix, Kind, PoseTracker
from relpose_ros.nodes.hints import Hints
from relpose_ros.types import State

POSE = Rigid.from_rotation_vector([0.0, 0.0, 0.5], [1.0, 2.0, 3.0])
COVARIANCE = np.diag([0.25] * 3 + [0.07] * 3)
STEP = Rigid.from_rotation_vector([0.0, 0.0, 0.0], [0.1, 0.0, 0.0])


class Bench:
    """The hints of a node that is not there. `tracks`: whether odometry flows."""

    def __init__(self, tracks: bool) -> None:
        self.tracker = PoseTracker()
        self.newest: float | None = None
        self.node: Any = SimpleNamespace(
            settings={"hint_seconds": 5.0, "hint_speed": 2.0}, listeners=[], while_active=ExitStack()
        )
        odometry = SimpleNamespace(newest=None)
        self.tracking: Any = SimpleNamespace(
            tracker=self.tracker, tracks=tracks, odometry=odometry, reset=self.tracker.reset
        )
        self.hints = Hints(self.node, self.tracking)
        self.hints.load()
        self.hints.listen()

    def drive(self, start: float, steps: int) -> None:
        """Odometry, ten times a second, straight on."""
        pose = Rigid.identity()
        for k in range(steps):
            self.tracker.odometry(start + 0.1 * k, pose)
            pose = pose @ STEP
        self.tracking.odometry.newest = start + 0.1 * (steps - 1)

    def fix(self, stamp: float, pose: Rigid, state: State = State.LOCALIZED) -> Kind:
        return self.tracker.fix(Fix(stamp, pose, 1e-4 * np.eye(6), 0.9, state)).kind


def test_without_odometry_it_stays_until_something_is_localized() -> None:
    bench = Bench(tracks=False)
    assert bench.hints.of_base(10.0) is None
    bench.hints.give(POSE, COVARIANCE, 0.0)
    found = bench.hints.of_base(10.0)
    assert found is not None and np.allclose(found.map_from_camera.matrix, POSE.matrix)
    assert np.allclose(found.covariance, COVARIANCE)
    later = bench.hints.of_base(11.5)
    assert later is not None and np.allclose(later.covariance, COVARIANCE + 3.0**2 * np.eye(6))
    answer: Any = SimpleNamespace(found=SimpleNamespace(state=State.DEGRADED))
    bench.hints.on_answer(answer)
    assert bench.hints.of_base(11.6) is not None
    answer.found.state = State.LOCALIZED
    bench.hints.on_answer(answer)
    assert bench.hints.of_base(11.7) is None


def test_an_answer_from_before_it_came_does_not_settle_it() -> None:
    bench = Bench(tracks=False)
    assert bench.hints.of_base(10.0) is None  # a frame is in work ...
    bench.hints.give(POSE, COVARIANCE, 0.0)
    answer: Any = SimpleNamespace(found=SimpleNamespace(state=State.LOCALIZED))
    bench.hints.on_answer(answer)  # ... and is answered
    assert bench.hints.of_base(10.1) is not None


@pytest.mark.parametrize("tracks", [False, True])
def test_its_life_is_bounded_from_the_first_image_on(tracks: bool) -> None:
    bench = Bench(tracks)
    bench.hints.give(POSE, COVARIANCE, 0.0)
    assert bench.hints.of_base(1e9) is not None
    assert bench.hints.of_base(1e9 + 4.9) is not None
    assert bench.hints.of_base(1e9 + 5.1) is None
    assert bench.hints.of_base(1e9) is None


def test_zero_seconds_leave_it_to_tracking() -> None:
    bench = Bench(tracks=True)
    bench.node.settings["hint_seconds"] = 0.0
    bench.hints.give(POSE, COVARIANCE, 0.0)
    assert bench.hints.of_base(1.0) is None and bench.tracker.prior is not None


def test_odometry_carries_it_and_it_grows() -> None:
    bench = Bench(tracks=True)
    bench.drive(100.0, 2)
    bench.hints.give(POSE, COVARIANCE, 0.0)
    bench.drive(100.2, 21)
    first, last = bench.hints.of_base(100.2), bench.hints.of_base(102.2)
    assert first is not None and last is not None
    moved = first.map_from_camera.distance_to(last.map_from_camera)
    assert moved[0] == pytest.approx(2.0) and moved[1] < 1e-9
    assert np.trace(last.covariance) > np.trace(first.covariance) > 0


@pytest.mark.parametrize("asked", [True, False])
def test_where_odometry_has_stopped_it_does_not_count_until_odometry_is_back(asked: bool) -> None:
    """It was said of a place that the robot has left."""
    bench = Bench(tracks=True)
    bench.drive(100.0, 2)
    bench.hints.give(POSE, COVARIANCE, 0.0)
    if asked:
        assert bench.hints.of_base(100.1) is not None
    bench.drive(100.2, 11)
    bench.tracking.tracks = False
    assert bench.hints.of_base(101.3) is None
    bench.hints.give(POSE, COVARIANCE, 0.0)  # another speaks of now
    assert bench.hints.of_base(101.4) is not None
    bench.tracking.tracks = True
    assert bench.hints.of_base(101.5) is not None
    bench.tracking.tracks = False
    assert bench.hints.of_base(101.6) is None


@pytest.mark.parametrize("state", [State.LOCALIZED, State.DEGRADED])
def test_a_fix_that_agrees_settles_it(state: State) -> None:
    bench = Bench(tracks=True)
    bench.drive(100.0, 5)
    bench.hints.give(POSE, COVARIANCE, 0.0)
    assert bench.hints.of_base(100.3) is not None
    assert bench.fix(100.4, POSE.perturbed([0.2, 0, 0, 0, 0, 0.1]), state) is Kind.FIRST
    assert bench.hints.of_base(100.4) is None


def test_one_that_disagrees_does_not() -> None:
    bench = Bench(tracks=True)
    bench.drive(100.0, 5)
    bench.hints.give(POSE, COVARIANCE, 0.0)
    elsewhere = POSE.perturbed([20.0, 0, 0, 0, 0, 0])
    assert bench.fix(100.3, elsewhere) is Kind.REJECTED_BY_PRIOR
    assert bench.fix(100.4, elsewhere, State.DEGRADED) is Kind.REJECTED_BY_PRIOR
    assert bench.hints.of_base(100.4) is not None


@pytest.mark.parametrize("end", ["forget", "reset", "deactivate"])
def test_it_ends_with_what_it_was_said_in(end: str) -> None:
    bench = Bench(tracks=False)
    bench.hints.give(POSE, COVARIANCE, 0.0)
    if end == "deactivate":
        bench.node.while_active.close()
    else:
        getattr(bench.hints, end)("a reason")
    assert bench.hints.of_base(1.0) is None


def test_what_is_none_is_refused_and_the_old_one_stays() -> None:
    bench = Bench(tracks=False)
    bench.hints.give(POSE, COVARIANCE, 0.0)
    with pytest.raises(ValueError, match="covariance"):
        bench.hints.give(POSE, np.zeros((6, 6)), 0.0)
    assert bench.hints.of_base(1.0) is not None
