"""Poses over time and trees of frames."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relpose_ros.datasets.keyframes import keyframes
from relpose_ros.datasets.splits import split_every
from relpose_ros.datasets.tracks import FrameTree, PoseTrack, rigid_or_none
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.rigid import Rigid

MS = 1_000_000


def turned(degrees: float, x: float = 0.0) -> Rigid:
    return Rigid.from_rotation_vector([0, 0, math.radians(degrees)], [x, 0, 0])


def test_interpolation_is_linear_and_along_the_shortest_arc(same_pose):
    track = PoseTrack()
    track.add(400 * MS, turned(-170, 1.0))
    track.add(0, turned(170, 0.0))  # out of order, and the short way is over 180 degrees
    assert same_pose(track.at(100 * MS), turned(175, 0.25))
    assert same_pose(track.at(0), turned(170))


def test_nothing_is_known_outside_or_in_a_gap():
    track = PoseTrack()
    for stamp in (0, 500 * MS, 1001 * MS):
        track.add(stamp, turned(0))
    assert track.at(-1) is None and track.at(1002 * MS) is None
    assert track.at(250 * MS) is not None  # 0.5 s apart is still near
    assert track.at(700 * MS) is None
    assert track.at(1001 * MS) is not None  # a sample itself is always known


def test_nanoseconds_of_today_keep_their_digits():
    start = 1_700_000_000_123_456_789
    track = PoseTrack()
    track.add(start, turned(0, 0.0))
    track.add(start + 1000, turned(0, 1.0))
    pose = track.at(start + 1)
    assert pose is not None and pose.translation[0] == pytest.approx(0.001)


def test_a_tree_composes_static_and_moving_parts(make_pose, same_pose):
    tree = FrameTree()
    map_from_odom, odom_from_base, base_from_camera = make_pose(0), make_pose(1), make_pose(2)
    tree.add("map", "odom", map_from_odom, 0)
    tree.add("/odom", "base_link", odom_from_base, 0)
    tree.add("base_link", "/camera", base_from_camera, None)
    tree.add("base_link", "lidar", make_pose(3), None)
    assert tree.chain("camera") == ["camera", "base_link", "odom", "map"]
    assert same_pose(tree.lookup("map", "camera", 0), map_from_odom @ odom_from_base @ base_from_camera)
    assert same_pose(tree.lookup("lidar", "camera", 77), make_pose(3).inverse() @ base_from_camera)
    assert same_pose(tree.lookup("camera", "odom", 0), (odom_from_base @ base_from_camera).inverse())
    assert tree.lookup("map", "camera", 5) is None  # outside the moving part's samples
    assert tree.lookup("elsewhere", "camera", 0) is None
    assert tree.moves("map", "camera") and not tree.moves("lidar", "camera")
    assert tree.connects("lidar", "map") and not tree.connects("elsewhere", "map")


def test_loops_and_two_parents_are_refused():
    tree = FrameTree()
    tree.add("a", "b", turned(0), None)
    tree.add("b", "a", turned(0), None)
    with pytest.raises(DatasetError, match="loop"):
        tree.chain("b")
    tree.add("c", "b", turned(0), None)
    with pytest.raises(DatasetError, match="2 parents"):
        tree.chain("b")


@pytest.mark.parametrize(
    ("rotation", "translation"),
    [
        ([0, 0, 0, 0], [0, 0, 0]),
        ([0, 0, 0, math.nan], [0, 0, 0]),
        ([0, 0, 0, 1], [math.inf, 0, 0]),
        ([1, 1, 1, 1], [0] * 3),
    ],
)
def test_what_is_no_transform(rotation, translation):
    assert rigid_or_none(rotation, translation) is None


def test_keyframes():
    poses = [turned(0, 0.1 * i) for i in range(10)]
    assert keyframes(poses, every=4) == [0, 4, 8]
    assert keyframes(poses, min_distance_m=0.25) == [0, 3, 6, 9]
    assert keyframes(poses, every=2, min_distance_m=0.25) == [0, 4, 8]
    standing = [turned(6.0 * i) for i in range(10)]
    assert keyframes(standing, min_distance_m=0.25) == [0]
    assert keyframes(standing, min_distance_m=0.25, min_angle_deg=11.9) == [0, 2, 4, 6, 8]
    assert keyframes([None, *poses], min_distance_m=0.5) == [1, 6]
    assert keyframes([None, None]) == [0, 1]
    with pytest.raises(ConfigurationError, match="every"):
        keyframes(poses, every=0)


def test_every_nth_is_a_query():
    assert [split_every(i, 3) for i in range(6)] == ["map", "map", "query"] * 2
    assert split_every(0, 0, "query") == "query"
    for bad in ((0, 1, "map"), (0, -2, "map"), (0, 0, "both")):
        with pytest.raises(ConfigurationError):
            split_every(*bad)


def test_mean_of_kept_distances_is_at_least_the_limit():
    numbers = np.random.default_rng(0)
    walk = [turned(0, x) for x in np.cumsum(numbers.uniform(0, 0.2, 200))]
    kept = [walk[i].translation[0] for i in keyframes(walk, min_distance_m=0.5)]
    assert np.diff(kept).min() >= 0.5
