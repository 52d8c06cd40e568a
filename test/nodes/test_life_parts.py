"""The parts of a managed node that need no process: jobs between frames, complaints, answers, warming up."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.complaints import REMEMBERED, Complaints
from relpose_ros.nodes.health import Health, Level
from relpose_ros.nodes.warm_up import PLAIN, synthetic_frame
from relpose_ros.nodes.worker import NewestWorker
from relpose_ros.types import Localization, State


class TestJobsBetweenItems:
    def test_they_come_after_the_item_in_work_and_before_the_next(self):
        started, go, order = threading.Event(), threading.Event(), []

        def work(item):
            order.append(item)
            started.set()
            go.wait(5)

        worker = NewestWorker(work, lambda: None, pytest.fail)
        worker.offer("first")
        started.wait(5)
        worker.offer("second")
        done = worker.between(lambda: order.append("job") or 7)
        go.set()
        assert done.result(5) == 7
        worker.between(lambda: None).result(5)
        assert worker.stop() and order[:2] == ["first", "job"]

    def test_what_they_raise_goes_to_who_waits(self):
        worker = NewestWorker(pytest.fail, lambda: None, pytest.fail)
        with pytest.raises(ZeroDivisionError):
            worker.between(lambda: 1 / 0).result(5)
        assert worker.between(lambda: 1).result(5) == 1 and worker.stop()

    def test_a_stopped_worker_cancels_them(self):
        started, go = threading.Event(), threading.Event()
        worker = NewestWorker(lambda i: (started.set(), go.wait(5)), lambda: None, pytest.fail)
        worker.offer(0)
        started.wait(5)
        waiting = worker.between(lambda: 1)
        threading.Timer(0.1, go.set).start()
        assert worker.stop()
        for future in (waiting, worker.between(lambda: 2)):
            with pytest.raises(CancelledError):
                future.result(5)

    def test_a_discarded_item_is_not_worked_on(self):
        started, go, done = threading.Event(), threading.Event(), []
        worker = NewestWorker(
            lambda i: (started.set(), go.wait(5), done.append(i)), lambda: None, pytest.fail
        )
        worker.offer(0)
        started.wait(5)
        worker.offer(1)
        worker.discard()
        go.set()
        worker.between(lambda: None).result(5)
        assert worker.stop() and done == [0]


class Log:
    """A logger that remembers."""

    def __init__(self):
        self.lines: list[str] = []

    def error(self, text):
        self.lines.append(f"ERROR {text}")

    def warning(self, text):
        self.lines.append(f"WARN {text}")

    def info(self, text):
        self.lines.append(f"INFO {text}")


@pytest.fixture
def said():
    """Complaints, their log, their health, and a function that lets time pass."""
    now = [100.0]
    health, log = Health(clock=lambda: now[0]), Log()

    def later(seconds):
        now[0] += seconds

    return Complaints(health, log, clock=lambda: now[0]), log, health, later


class TestComplaints:
    def test_once_when_it_begins_and_once_when_it_ends(self, said):
        complaints, log, health, later = said
        for number in range(5):
            complaints.report("bad images", Level.WARN, f"{number} bytes are too few")
            complaints.check()
            later(1.0)
        assert log.lines == ["WARN 0 bytes are too few"]
        assert health.report().text == "4 bytes are too few"  # diagnostics have the newest
        later(10.0)
        complaints.check()
        complaints.check()
        assert log.lines[1:] == ["INFO over: 0 bytes are too few"] and health.report().text == "working"

    def test_other_words_are_another_thing(self, said):
        complaints, log, _, _ = said
        for text, level in (("too small", Level.WARN), ("broken", Level.ERROR), ("too small", Level.WARN)):
            complaints.report("bad images", level, text)
        assert log.lines == ["WARN too small", "ERROR broken"]

    def test_what_comes_and_goes_is_said_once_a_minute(self, said):
        complaints, log, _, later = said
        for _ in range(12):
            complaints.report("mount", Level.ERROR, "no TF")
            complaints.solved("mount")
            later(10.0)
        assert log.lines == ["ERROR no TF", "INFO over: no TF"] * 2

    def test_ever_new_words_do_not_fill_log_and_memory(self, said):
        complaints, log, _, _ = said
        for number in range(10 * REMEMBERED):
            complaints.report("x", Level.WARN, "a" * number)
        assert len(log.lines) <= REMEMBERED and len(complaints._said_at) <= REMEMBERED + 1


def test_an_answer_is_moved_to_the_base():
    camera = Rigid.from_quaternion([0.5, -0.5, 0.5, -0.5], [1.0, 2.0, 3.0])
    mount = Rigid.from_quaternion([0, 0, 0, 1], [0.0, 0.0, 2.0])
    covariance = np.diag([0.0, 0.0, 0.0, 1e-6, 1e-6, 1e-6])
    found = Localization(State.LOCALIZED, "", camera, covariance, 0.9)
    answer = Answer(found, Time(sec=1), "camera", "map", mount)
    assert np.allclose((answer.map_from_base @ mount).matrix, camera.matrix)
    # A rotation of one milliradian about each axis, and a lever of two metres along the optical axis.
    assert np.isclose(np.trace(answer.covariance[:3, :3]), 2 * 4 * 1e-6)
    lost = Answer(Localization(State.UNLOCALIZED, "dark"), Time(sec=1), "camera", "map", mount)
    unknown = Answer(found, Time(sec=1), "camera", "map", None)
    for without in (lost, unknown):
        assert without.map_from_base is None and without.covariance is None


def test_the_frame_to_warm_up_with_is_textured_and_always_the_same():
    camera = Camera("equidistant", 100.0, 100.0, 60.0, 40.0, 120, 80, (0.0, 0.0, 0.0, 0.0))
    frame = synthetic_frame(camera)
    assert frame.image.shape == (80, 120) and frame.image.std() > 50
    assert np.array_equal(frame.image, synthetic_frame(camera).image)
    assert synthetic_frame().camera == PLAIN
