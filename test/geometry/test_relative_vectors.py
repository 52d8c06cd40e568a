"""Relative poses as six numbers: both ways, and what happens when the map is turned."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.pose_vectors import CAMBRIDGE
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.geometry.rigid import Rigid

WAYS = [InSourceFrame(), VectorDifference(), VectorDifference(CAMBRIDGE)]


def some_poses(seed: int, count: int = 30) -> Rigid:
    generator = np.random.default_rng(seed)
    turns, places = generator.normal(0, 0.6, (count, 3)), generator.normal(0, 5, (count, 3))
    return Rigid.from_rotation_vector(turns, places)


@pytest.mark.parametrize("way", WAYS, ids=["source", "difference", "cambridge"])
def test_source_and_relative_give_the_target(way):
    source, target = some_poses(0), some_poses(1)
    found = way.read_target(source, way.write(source, target))
    np.testing.assert_allclose(found.matrix, target.matrix, atol=1e-9)


def test_in_the_source_frame_nothing_changes_when_the_map_is_turned():
    source, target = some_poses(0), some_poses(1)
    new_from_map = Rigid.from_rotation_vector([0.3, -1.0, 0.5], [4.0, 5.0, -6.0])
    for way, same in ((InSourceFrame(), True), (VectorDifference(), False)):
        before = way.write(source, target)
        after = way.write(new_from_map @ source, new_from_map @ target)
        assert np.allclose(before, after, atol=1e-9) == same


def test_the_difference_jumps_near_half_a_turn_and_the_right_way_does_not():
    source = Rigid.from_rotation_vector([0.0, 0.0, np.pi - 0.01], np.zeros(3))
    target = Rigid.from_rotation_vector([0.0, 0.0, np.pi + 0.01], np.zeros(3))
    assert np.linalg.norm(InSourceFrame().write(source, target)) == pytest.approx(0.02)
    assert np.linalg.norm(VectorDifference().write(source, target)) > 3.0


def test_the_difference_is_source_minus_target():
    source, target = Rigid(np.eye(3), np.array([5.0, 0, 0])), Rigid(np.eye(3), np.array([2.0, 0, 0]))
    assert VectorDifference().write(source, target).tolist() == [3.0, 0, 0, 0, 0, 0]
