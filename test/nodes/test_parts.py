"""The small parts of the nodes, without ROS processes."""

from __future__ import annotations

import importlib.machinery
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, TransformStamped
from sensor_msgs.msg import CameraInfo

from relpose_ros.errors import CameraError, ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes import environment, messages
from relpose_ros.nodes.camera_info import CameraInfoBuffer, NoCameraInfoError
from relpose_ros.nodes.health import MAX_COUNTERS, Health, Level
from relpose_ros.nodes.mount import open_mount
from relpose_ros.nodes.results import result_message, truthful
from relpose_ros.nodes.stamps import StampCheck
from relpose_ros.nodes.transform_buffer import TransformError
from relpose_ros.nodes.transforms import SharedTransforms
from relpose_ros.nodes.worker import NewestWorker
from relpose_ros.types import Localization, State


class TestWorker:
    def test_the_newest_waits_and_the_others_are_dropped(self):
        started, go, done = threading.Event(), threading.Event(), []
        drops: list[int] = []

        def work(item):
            started.set()
            go.wait(5)
            done.append(item)

        worker = NewestWorker(work, lambda: drops.append(1), pytest.fail)
        worker.offer(0)
        started.wait(5)
        for item in range(1, 6):
            worker.offer(item)
        go.set()
        deadline = threading.Event()
        while len(done) < 2 and not deadline.wait(0.01):
            pass
        assert worker.stop()
        assert done == [0, 5] and len(drops) == 4

    def test_an_error_does_not_end_it(self):
        errors: list[Exception] = []
        seen = threading.Event()

        def work(item):
            if item:
                raise ValueError(item)
            seen.set()

        worker = NewestWorker(work, lambda: None, errors.append)
        worker.offer(1)
        while not errors:
            threading.Event().wait(0.01)
        worker.offer(0)
        assert seen.wait(5) and worker.stop()

    def test_stop_forgets_what_waits(self):
        go, done = threading.Event(), []
        worker = NewestWorker(lambda i: (go.wait(5), done.append(i)), lambda: None, pytest.fail)
        worker.offer(0)
        while worker._waiting is not None:
            threading.Event().wait(0.01)
        worker.offer(1)
        threading.Timer(0.1, go.set).start()
        assert worker.stop() and done == [0]


class TestStamps:
    def test_forward(self):
        check = StampCheck()
        assert not any(check.check(s).problem for s in (10**9, 2 * 10**9, 2 * 10**9 + 1))

    @pytest.mark.parametrize("stamp", [2 * 10**9, 2 * 10**9 - 1, 2 * 10**9 - 4 * 10**8, 0, -5])
    def test_refused(self, stamp):
        check = StampCheck()
        check.check(2 * 10**9)
        verdict = check.check(stamp)
        assert verdict.problem and not verdict.jumped_back

    def test_a_jump_back_is_accepted_and_counts_from_there(self):
        check = StampCheck()
        check.check(100 * 10**9)
        assert check.check(10 * 10**9).jumped_back
        assert check.check(11 * 10**9) == type(check.check(12 * 10**9))()


class TestHealth:
    def test_reasons_that_differ_in_numbers_are_one(self):
        health = Health()
        for n in range(5):
            health.count("unlocalized", f"only {n} inliers of {n}.5")
        assert health.report().values["unlocalized: only # inliers of #"] == "5"
        assert health.counted("unlocalized") == 5

    def test_counters_are_bounded(self):
        health = Health()
        for n in range(1000):
            health.count("unlocalized", "abcdefghij"[n % 10] * (n // 10 + 1))
        values = [k for k in health.report().values if k.startswith("unlocalized")]
        assert len(values) <= MAX_COUNTERS + 1
        assert health.counted("unlocalized") == 1000

    def test_the_worst_problem_leads_and_problems_expire(self):
        now = [0.0]
        health = Health(lambda: now[0])
        health.problem("a", Level.WARN, "dusty lens")
        health.problem("b", Level.ERROR, "no mount", seconds=2.0)
        assert health.report().level is Level.ERROR
        assert health.report().text == "no mount; dusty lens"
        now[0] = 3.0
        assert health.report().text == "dusty lens"
        health.solved("a")
        assert (health.report().level, health.report().text) == (Level.OK, "working")


def info(stamp_ns=1, width=64, **fields):
    out = CameraInfo(width=width, height=48, distortion_model="plumb_bob", d=[0.0] * 5)
    out.k = [50.0, 0, 32.0, 0, 50.0, 24.0, 0, 0, 1.0]
    out.header.stamp = messages.time_message(stamp_ns)
    for name, value in fields.items():
        setattr(out, name, value)
    return out


class TestCameraInfo:
    def test_none_yet(self):
        with pytest.raises(NoCameraInfoError, match="camera_info"):
            CameraInfoBuffer().camera_at(1)

    def test_each_image_has_the_info_of_its_stamp(self):
        buffer = CameraInfoBuffer()
        assert not buffer.add(info(1, 64)) and buffer.add(info(2, 128))
        assert (buffer.camera_at(1).width, buffer.camera_at(2).width) == (64, 128)
        assert buffer.camera_at(77).width == 128  # an info of its own never came: the newest

    def test_the_info_of_this_image_is_waited_for(self):
        buffer = CameraInfoBuffer(patience=5.0)
        buffer.add(info(1, 64))
        buffer.camera_at(1)
        threading.Timer(0.1, lambda: buffer.add(info(2, 128))).start()
        assert buffer.camera_at(2).width == 128

    def test_a_bad_info_takes_the_place_of_a_good_one(self):
        buffer = CameraInfoBuffer()
        buffer.add(info(1))
        buffer.add(info(2, k=[0.0] * 9))
        with pytest.raises(CameraError, match="not calibrated"):
            buffer.camera_at(2)

    def test_memory_is_bounded(self):
        buffer = CameraInfoBuffer()
        for stamp in range(1000):
            buffer.add(info(stamp))
        assert len(buffer._by_stamp) < 100


class TestMessages:
    def test_times_are_exact(self):
        stamp = 1_700_000_000_123_456_789
        assert messages.nanoseconds(messages.time_message(stamp)) == stamp

    def test_poses_there_and_back(self):
        pose = Rigid.from_rotation_vector([0.3, -2.0, 0.1], [1, 2, 3])
        assert np.allclose(messages.rigid_from_pose(messages.pose_message(pose)).matrix, pose.matrix)

    def test_no_pose_is_no_pose(self):
        with pytest.raises(ValueError, match="norm"):
            messages.rigid_from_pose(messages.no_pose().pose)

    def test_a_translation_that_is_not_finite(self):
        pose = Pose()
        pose.position.x = float("inf")
        with pytest.raises(ValueError, match="finite"):
            messages.rigid_from_pose(pose)


def answer(**changes):
    fields = {
        "state": State.LOCALIZED,
        "map_from_camera": Rigid.identity(),
        "covariance": np.eye(6),
        "confidence": 0.5,
    }
    return Localization(**(fields | changes))


class TestTruth:
    def test_a_good_answer_passes(self):
        good = answer()
        assert truthful(good) is good
        assert result_message(good, "camera").confidence == 0.5

    @pytest.mark.parametrize(
        "changes",
        [
            {"map_from_camera": Rigid(np.eye(3), np.array([np.nan, 0, 0]))},
            {"covariance": np.full((6, 6), np.inf)},
            {"covariance": -np.eye(6)},
            {"covariance": np.full((6, 6), 2.0) - np.eye(6)},
            {"covariance": np.ones((6, 6))},
            {"covariance": np.triu(np.ones((6, 6))) + np.eye(6)},
            {"covariance": None},
            {"map_from_camera": None},
            {"confidence": float("nan")},
            {"state": State.UNLOCALIZED},
        ],
    )
    def test_what_cannot_be_true_becomes_an_abstention(self, changes):
        mended = truthful(answer(**changes))
        assert mended.state is State.UNLOCALIZED and not mended.has_pose and mended.reason
        orientation = result_message(mended, "camera").map_from_camera.pose.orientation
        assert (orientation.x, orientation.w) == (0, 0)


class TestMount:
    def test_from_a_parameter(self):
        mount = open_mount(None, "base_link", [1, 2, 3, 0, 0, 0, 1.0], 0.1)
        assert np.allclose(mount.base_from_camera("camera", None).translation, [1, 2, 3])

    def test_of_the_camera_itself(self):
        assert np.allclose(open_mount(None, "", [], 0.1).base_from_camera("camera", None).matrix, np.eye(4))

    @pytest.mark.parametrize(
        "numbers", [[1.0], [0.0] * 7, [1, 2, 3, 1, 1, 1, 1.0], [float("nan")] * 3 + [0, 0, 0, 1.0]]
    )
    def test_refused(self, numbers):
        with pytest.raises(ConfigurationError, match="x y z qx qy qz qw"):
            open_mount(None, "base_link", numbers, 0.1)


class TestEnvironment:
    def test_a_taken_domain_is_not_chosen(self):
        import socket

        first = environment.free_domain()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("", 7410 + 250 * first))
            assert environment.free_domain() != first
        assert environment.free_domain() == first

    def test_shared_memory_profile_is_found(self, tmp_path: Path):
        added = environment.dds_environment(7, tmp_path / "log")
        assert Path(added["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()
        assert added["ROS_DOMAIN_ID"] == "7" and (tmp_path / "log").is_dir()


@pytest.fixture
def tf2(monkeypatch):
    """A stand-in for tf2_ros: a buffer that answers, or raises what it is told to."""
    module = types.ModuleType("tf2_ros")

    class TransformError(Exception):
        pass

    class ExtrapolationError(TransformError):
        pass

    class Buffer:
        problem: Exception | None = None

        def lookup_transform(self, target, source, stamp):
            if self.problem:
                raise self.problem
            out = TransformStamped()
            out.transform.translation.x, out.transform.rotation.w = 3.0, 1.0
            assert (target, source) == ("base_link", "camera")
            return out

    module.Buffer = Buffer  # type: ignore[attr-defined]
    module.TransformListener = lambda buffer, node, spin_thread: None  # type: ignore[attr-defined]
    module.TransformException = TransformError  # type: ignore[attr-defined]
    module.ExtrapolationException = ExtrapolationError  # type: ignore[attr-defined]
    module.__spec__ = importlib.machinery.ModuleSpec("tf2_ros", None)
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    return module


class TestTf2:
    def test_it_is_used_where_it_is(self, tf2):
        mount = open_mount(SharedTransforms(None), "base_link", [], 0.0)
        assert np.allclose(mount.base_from_camera("/camera", Time(sec=5)).translation, [3, 0, 0])

    def test_its_errors_become_ours(self, tf2):
        mount = open_mount(SharedTransforms(None), "base_link", [], 0.05)
        for problem in (tf2.TransformException("unconnected"), tf2.ExtrapolationException("too new")):
            mount._source._buffer.problem = problem
            with pytest.raises(TransformError, match=f"{problem}.*base_from_camera"):
                mount.base_from_camera("camera", Time(sec=5))

    def test_an_image_without_frame(self, tf2):
        with pytest.raises(TransformError, match="frame_id"):
            open_mount(SharedTransforms(None), "base_link", [], 0.0).base_from_camera("", Time(sec=5))
