"""What of AMCL's place needs no process: hints, saved poses, options, the newest transform."""

from __future__ import annotations

import json
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking import TrackerOptions
from relpose_ros.nodes.contract import CONTRACT_PARAMETERS
from relpose_ros.nodes.hints import Hints
from relpose_ros.nodes.initial_pose import UNSTATED, InitialPose, hint_from_message
from relpose_ros.nodes.messages import pose_with_covariance
from relpose_ros.nodes.saved_pose import read_saved
from relpose_ros.nodes.tracking import Tracking, tracker_options
from relpose_ros.nodes.transform_buffer import TransformBuffer, TransformError

POSE = Rigid.from_rotation_vector([0.0, 0.0, 0.5], [1.0, 2.0, 3.0])
SETTINGS = {"global_frame_id": "map", "base_frame_id": "base_link"}


def message(covariance, frame: str = "map") -> PoseWithCovarianceStamped:
    out = PoseWithCovarianceStamped(pose=pose_with_covariance(POSE, covariance))
    out.header.frame_id = frame
    return out


class TestHints:
    def test_what_rviz_leaves_at_zero_is_filled(self):
        given = np.zeros((6, 6))
        given[0, 0], given[1, 1], given[0, 1], given[1, 0], given[5, 5] = 0.25, 0.5, 0.1, 0.1, 0.01
        pose, covariance = hint_from_message(message(given), "map")
        assert np.allclose(pose.matrix, POSE.matrix)
        assert np.allclose(np.diag(covariance), [0.25, 0.5, *UNSTATED[2:5], 0.01])
        assert covariance[0, 1] == 0.1 and np.linalg.eigvalsh(covariance)[0] > 0

    def test_covariances_of_what_is_not_stated_are_left_out(self):
        given = np.full((6, 6), 5.0) * ~np.eye(6, dtype=bool)
        assert np.array_equal(hint_from_message(message(given), "map")[1], np.diag(UNSTATED))

    @pytest.mark.parametrize("frame", ["odom", ""])
    def test_another_frame_is_refused(self, frame):
        with pytest.raises(ValueError, match="expected 'map'"):
            hint_from_message(message(np.eye(6), frame), "map")

    @pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
    def test_covariances_that_are_none_are_refused(self, value):
        with pytest.raises(ValueError, match="covariance"):
            hint_from_message(message(np.diag([1, 1, 1, 1, 1, value])), "map")

    def test_parameters_that_are_no_pose_are_named(self):
        settings = {"set_initial_pose": True, "initial_pose.yaw": 0.0, "odom_frame_id": "odom"}
        settings |= {"initial_pose.x": np.nan, "initial_pose.y": 0.0, "initial_pose.z": 0.0}
        node: Any = SimpleNamespace(
            settings=settings, create_service=lambda *_: None, open_subscription=lambda *_: None
        )
        tracking = Tracking(node, lambda: True)
        initial = InitialPose(node, tracking, Hints(node, tracking))
        with pytest.raises(ConfigurationError, match=r"parameters initial_pose\.\*: expected"):
            initial.listen()


def test_without_odometry_too_the_last_answer_ends_with_the_activation():
    """~/publish_initial_pose must not give it after the robot was carried away."""
    stack = ExitStack()
    node: Any = SimpleNamespace(
        settings={"odom_frame_id": "", "base_frame_id": "base_link"},
        health=SimpleNamespace(note=lambda *_: None),
        context=SimpleNamespace(ok=lambda: False),
        while_active=stack,
    )
    tracking = Tracking(node, lambda: True)
    tracking.listen()
    answer: Any = SimpleNamespace(map_from_base=None, covariance=None)
    tracking.on_answer(answer)
    assert tracking.last is answer
    stack.close()
    assert tracking.last is None
    tracking.on_answer(answer)  # it was in work
    tracking.listen()
    assert tracking.last is None


class TestSavedPose:
    @pytest.fixture
    def content(self):
        return {
            "map": "office 2026", "frame": "map", "base": "base_link", "stamp": 5.0,
            "translation": POSE.translation.tolist(), "rotation_xyzw": POSE.rotation_xyzw.tolist(),
            "covariance": np.eye(6).tolist(),
        }  # fmt: skip

    def read(self, tmp_path, content):
        path = tmp_path / "pose.json"
        path.write_text(json.dumps(content))
        return read_saved(path, "office 2026", SETTINGS)

    def test_it_is_read(self, tmp_path, content):
        pose, covariance = self.read(tmp_path, content)
        assert np.allclose(pose.matrix, POSE.matrix) and np.array_equal(covariance, np.eye(6))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("map", "house 2026"), ("frame", "odom"), ("base", "camera"), ("translation", [1.0, 2.0]),
            ("translation", [1.0, 2.0, float("nan")]), ("rotation_xyzw", [0, 0, 0, 0]),
            ("rotation_xyzw", None), ("covariance", [[1.0]]), ("covariance", "wide"),
        ],
    )  # fmt: skip
    def test_what_is_none_is_refused(self, tmp_path, content, key, value):
        with pytest.raises((ValueError, TypeError)):
            self.read(tmp_path, content | {key: value})


class TestOptions:
    def test_parameters_have_the_defaults_of_the_tracker(self):
        settings = {row.name: row.default for row in CONTRACT_PARAMETERS}
        assert tracker_options(settings) == TrackerOptions()
        assert tracker_options(settings | {"tracking.kidnap_fixes": 9}).kidnap_fixes == 9

    def test_values_out_of_range_are_refused(self):
        with pytest.raises(ConfigurationError, match="gate_probability"):
            tracker_options({"tracking.gate_probability": 2.0})


class TestLatestTransform:
    def test_it_is_of_the_link_that_lags(self):
        buffer = TransformBuffer()
        for stamp in (1.0, 2.0, 3.0):
            buffer.insert("odom", "footprint", stamp, Rigid.from_rotation_vector([0, 0, 0], [stamp, 0, 0]))
        for stamp in (1.0, 2.5):
            buffer.insert("footprint", "base", stamp, Rigid.from_rotation_vector([0, 0, 0], [0, stamp, 0]))
        buffer.insert("base", "plate", None, POSE)
        stamp, odom_from_base = buffer.latest("odom", "base")
        assert stamp == 2.5 and np.allclose(odom_from_base.translation, [2.5, 2.5, 0])
        assert buffer.latest("odom", "plate")[0] == 2.5

    def test_without_motion_there_is_no_stamp(self):
        buffer = TransformBuffer()
        buffer.insert("base", "plate", None, POSE)
        buffer.insert("odom", "base", 1.0, POSE)
        for target, source in (("base", "plate"), ("base", "base"), ("odom", "nowhere")):
            with pytest.raises(TransformError):
                buffer.latest(target, source)
        buffer.forget()
        with pytest.raises(TransformError):
            buffer.latest("odom", "base")
