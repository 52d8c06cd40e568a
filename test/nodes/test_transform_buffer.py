"""The small TF buffer: chains, interpolation, and what it refuses to invent."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.transform_buffer import TransformBuffer, TransformError, TransformNotYetError


def along(x, angle=0.0):
    return Rigid.from_rotation_vector([0, 0, angle], [x, 0, 0])


@pytest.fixture
def robot():
    """map <- odom (moving) <- base (moving) <- mast (fixed) <- camera (moving, a tilt unit)."""
    buffer = TransformBuffer(memory=10.0)
    for stamp in (100.0, 101.0):
        buffer.insert("map", "odom", stamp, along(stamp))
        buffer.insert("odom", "base", stamp, along(stamp - 100))
        buffer.insert("mast", "camera", stamp, along(0.0, stamp - 100))
    buffer.insert("base", "mast", None, along(0.5))
    return buffer


def test_chain_is_interpolated_at_the_stamp(robot):
    found = robot.lookup("base", "camera", 100.25)
    assert np.allclose(found.matrix, along(0.5, 0.25).matrix)
    assert np.allclose(robot.lookup("camera", "base", 100.25).matrix, found.inverse().matrix)
    assert np.allclose(robot.lookup("map", "camera", 100.5).matrix, along(100.5 + 0.5 + 0.5, 0.5).matrix)


def test_a_stale_link_above_the_common_frame_does_not_matter(robot):
    robot.insert("mast", "camera", 105.0, along(0.0, 1.0))
    assert np.allclose(robot.lookup("base", "camera", 105.0).matrix, along(0.5, 1.0).matrix)
    with pytest.raises(TransformNotYetError):
        robot.lookup("map", "camera", 105.0)


def test_same_frame_is_the_identity(robot):
    assert np.allclose(robot.lookup("anything", "anything", 5.0).matrix, np.eye(4))


@pytest.mark.parametrize(
    ("target", "source", "stamp", "error", "words"),
    [
        ("base", "camera", 101.1, TransformNotYetError, "newest"),
        ("base", "camera", 99.0, TransformError, "oldest"),
        ("base", "lidar", 100.0, TransformError, "does not connect"),
        ("moon", "camera", 100.0, TransformError, "does not connect"),
    ],
)
def test_nothing_is_extrapolated_or_invented(robot, target, source, stamp, error, words):
    with pytest.raises(error, match=words):
        robot.lookup(target, source, stamp)


def test_a_circle_is_refused(robot):
    before = robot.lookup("base", "camera", 100.0)
    robot.insert("camera", "base", 100.5, along(1.0))
    with pytest.raises(TransformError):
        robot.lookup("map", "camera", 100.0)
    robot.insert("odom", "base", 101.0, along(1.0))
    assert np.allclose(robot.lookup("base", "camera", 100.0).matrix, before.matrix)
    assert np.allclose(robot.lookup("map", "base", 101.0).matrix, along(102.0).matrix)


def test_a_circle_of_one_link_against_many_samples(robot):
    for n in range(12):
        robot.insert("odom", "base", 100.0 + n, along(n))
    robot.insert("base", "odom", None, along(1.0))
    robot.insert("base", "odom", 100.0, along(1.0))
    assert np.allclose(robot.lookup("odom", "base", 111.0).matrix, along(11.0).matrix)


@pytest.mark.parametrize(
    ("parent", "child", "stamp"), [("", "a", 1.0), ("a", "", 1.0), ("a", "a", 1.0), ("a", "b", -1.0)]
)
def test_links_that_cannot_be(robot, parent, child, stamp):
    with pytest.raises(ValueError, match=r"names|negative"):
        robot.insert(parent, child, stamp, along(1.0))


def test_what_is_fixed_moves_only_if_samples_come_regularly(robot):
    for n in range(10):
        robot.insert("base", "mast", 100.0 + n, along(9.0))
    assert np.allclose(robot.lookup("base", "mast", 105.0).matrix, along(0.5).matrix)
    robot.insert("base", "mast", 110.0, along(9.0))
    assert np.allclose(robot.lookup("base", "mast", 105.0).matrix, along(9.0).matrix)


def test_memory_is_bounded_and_order_does_not_matter():
    buffer = TransformBuffer(memory=1.0)
    for stamp in (10.0, 10.4, 10.2, 10.2):
        buffer.insert("a", "b", stamp, along(stamp))
    assert np.allclose(buffer.lookup("a", "b", 10.3).translation[0], 10.3)
    buffer.insert("a", "b", 11.3, along(0))
    with pytest.raises(TransformError, match="oldest"):
        buffer.lookup("a", "b", 10.25)


def test_forgetting_keeps_what_is_fixed(robot):
    robot.forget()
    assert np.allclose(robot.lookup("base", "mast", 3.0).matrix, along(0.5).matrix)
    with pytest.raises(TransformError):
        robot.lookup("base", "camera", 100.5)


def test_a_jump_back_starts_afresh(robot):
    robot.insert("mast", "camera", 50.0, along(7.0))
    assert np.allclose(robot.lookup("mast", "camera", 50.0).translation, [7, 0, 0])


def test_a_frame_may_change_its_parent(robot):
    robot.insert("arm", "camera", None, along(3.0))
    assert np.allclose(robot.lookup("arm", "camera", 1.0).translation, [3, 0, 0])
