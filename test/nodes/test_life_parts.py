"""The parts of a managed node that need no process: jobs between frames, complaints, answers, warming up."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import String

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.accuracy import AccuracyMonitor
from relpose_ros.nodes.answers import Answer
from relpose_ros.nodes.bond import open_bond
from relpose_ros.nodes.complaints import REMEMBERED, Complaints
from relpose_ros.nodes.health import Health, Level
from relpose_ros.nodes.pose_node import PoseNode
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
        assert len(log.lines) <= REMEMBERED and len(complaints._said_at) <= REMEMBERED

    def test_the_oldest_words_are_forgotten_and_new_ones_are_not_silenced(self, said):
        complaints, log, _, later = said
        words = [f"{a}{b}" for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst"]
        for word in words:
            complaints.mention("x", word)
            later(0.01)
        assert len(words) == 2 * REMEMBERED == len(log.lines) and len(complaints._said_at) == REMEMBERED
        complaints.mention("x", words[-1])
        assert len(log.lines) == len(words)

    def test_a_problem_that_stays_is_said_when_it_may_be(self, said):
        complaints, log, _, later = said
        complaints.report("mount", Level.ERROR, "no TF")
        complaints.solved("mount")
        for _ in range(70):
            later(1.0)
            complaints.report("mount", Level.ERROR, "no TF")
        assert log.lines == ["ERROR no TF", "INFO over: no TF", "ERROR no TF"]

    def test_what_is_mentioned_waits_for_what_is_reported(self, said):
        complaints, log, _, _ = said
        with complaints._lock:
            other = threading.Thread(target=complaints.mention, args=("x", "a"), daemon=True)
            other.start()
            other.join(0.2)
            assert not complaints._said_at and not log.lines
        other.join(5)
        assert log.lines == ["INFO a"]


class Poses(PoseNode):
    """A node without ROS: of its construction, only what answers and states need."""

    def __init__(self):
        self.health, self.state, self.listeners = Health(), MagicMock(), [MagicMock()]
        self.settings, self.lifecycle, self._map_frame = {"camera_frame_id": ""}, "active", "map"
        self.age = lambda stamp: 0.0  # type: ignore[method-assign]

    def renew(self):
        self._worker = NewestWorker(self.answer, lambda: None, pytest.fail)
        return self._worker

    def answer(self, job):
        job()
        message = SimpleNamespace(header=SimpleNamespace(stamp=Time(sec=1), frame_id="camera"))
        self.publish_answer(Localization(State.UNLOCALIZED, "dark"), message)


class TestGenerations:
    def test_a_frame_of_an_earlier_configuration_is_not_answered(self):
        node, go, started = Poses(), threading.Event(), threading.Event()
        old = node.renew()
        old.offer(lambda: (started.set(), go.wait(5)))
        assert started.wait(5) and not old.stop(0.0)  # the cleanup gave up waiting
        new = node.renew()
        go.set()
        assert old.stop() and not node.listeners[0].on_answer.called
        assert not node.health.report().values
        done = threading.Event()
        new.offer(done.set)
        assert done.wait(5) and new.stop() and node.listeners[0].on_answer.call_count == 1


class TestAccuracy:
    def test_sizes_are_forgotten_with_the_activation(self):
        node = Poses()
        worker = node.renew()
        for again in (False, True):  # also of the answer that was on its way
            node.health.note("ellipse 95 % m", "0.1 x 0.1")
            node.lifecycle = "inactive"
            if again:
                started, go = threading.Event(), threading.Event()
                worker.offer(lambda s=started, g=go: (s.set(), g.wait(5)))
                assert started.wait(5)
            node.lifecycle_changed()
            assert "ellipse 95 % m" not in node.health.report().values
            if again:
                node.health.note("ellipse 95 % m", "0.1 x 0.1")
                go.set()
                worker.between(lambda: None).result(5)
                assert "ellipse 95 % m" not in node.health.report().values
        assert worker.stop()

    def test_an_answer_without_covariance_has_no_size(self):
        health = Health()
        node = SimpleNamespace(get_parameter=lambda name: SimpleNamespace(value=1e6))
        monitor = AccuracyMonitor(node, health, Complaints(health, Log()))
        found = Localization(State.LOCALIZED, "", Rigid.identity(), np.eye(6), 0.9)
        sizes = {"ellipse 95 % m", "heading 95 % deg"}
        monitor.on_answer(Answer(found, Time(sec=1), "camera", "map", None))
        assert sizes <= health.report().values.keys()
        monitor.on_answer(Answer(Localization(State.UNLOCALIZED, "dark"), Time(), "camera", "map", None))
        assert not sizes & health.report().values.keys()


class TestBond:
    @pytest.fixture
    def broken(self, monkeypatch):
        """A bond that gives up connecting after 50 ms: the other side, how often it broke, what ends it."""
        monkeypatch.syspath_prepend(str(Path(__file__).parent / "fake_bondpy"))
        from bondpy import bondpy

        monkeypatch.setattr(bondpy.Bond, "connect_timeout", 0.05)
        node, count = MagicMock(), []
        close = open_bond(node, 0.01, lambda: count.append(1))
        yield lambda word: node.create_subscription.call_args[0][2](String(data=word)), count, close
        for name in ("bondpy.bondpy", "bondpy"):
            sys.modules.pop(name)

    def test_without_a_manager_it_is_not_broken(self, broken):
        _, count, close = broken
        time.sleep(0.3)
        close()
        assert not count

    def test_it_breaks_once_it_was_formed(self, broken):
        hear, count, close = broken
        hear("alive")
        time.sleep(0.1)
        assert not count
        hear("dead")
        close()
        assert count == [1]


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
