"""What views have in common, and pairs from easy to hard."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.view_pairs import (
    easy_to_hard,
    overlap,
    overlaps,
    sight_from_depth,
    sight_without_depth,
    typical_distance,
)

CAMERA = Camera("pinhole", 160.0, 160.0, 159.5, 119.5, 320, 240)


def at(x=0.0, turn=0.0, z=0.0):
    return Rigid.from_rotation_vector([0, turn, 0], [x, 0, z])


def wall(metres, pose):
    """A level camera's sight of a wall straight ahead of it."""
    return sight_from_depth(CAMERA, pose, np.full((240, 320), metres, np.float32))


def test_a_view_overlaps_with_itself_alone():
    sight = wall(2.0, at())
    assert overlap(sight, sight) == 1
    assert overlap(sight, wall(2.0, at(turn=np.pi))) == 0


def test_overlap_is_the_share_of_the_wall():
    # At 2 m the image is 4 m wide: 1 m to the side, three quarters are the same.
    np.testing.assert_allclose(overlap(wall(2.0, at()), wall(2.0, at(x=1.0))), 0.75, atol=0.03)


def test_the_smaller_share_counts():
    near, far = wall(1.0, at(z=1.0)), wall(2.0, at())
    np.testing.assert_allclose(overlap(near, far), 0.25, atol=0.03)
    assert overlap(near, far) == overlap(far, near)


def test_walls_hide_what_is_behind():
    room, next_door = wall(2.0, at()), wall(5.0, at())  # it says it sees through
    assert overlap(room, next_door) == 0
    assert overlap(next_door, wall(5.0, at(x=0.1))) > 0.9


def test_a_wall_from_far_to_the_other_side_is_another_wall():
    """Both look at the middle of the wall z = 2, by `angle` from its left and from its right."""

    def from_the_side(angle):
        pose = at(x=-2 * np.tan(angle), turn=angle)
        y, x = np.mgrid[:240, :320]
        rays = np.concatenate([CAMERA.rays(np.stack([x.ravel(), y.ravel()], 1)), np.ones((76800, 1))], 1)
        depth = (2.0 / (rays @ pose.rotation[2])).reshape(240, 320)
        return sight_from_depth(
            CAMERA, pose, np.where((depth > 0) & (depth < 20), depth, 0).astype(np.float32)
        )

    near, wide = (overlap(from_the_side(a), from_the_side(-a)) for a in (0.2, 0.8))
    assert near > 0.6 and wide < 0.15


def test_unknown_depth_is_not_seen():
    depth = np.full((240, 320), 2.0, np.float32)
    depth[:, :160] = 0
    half = sight_from_depth(CAMERA, at(), depth)
    assert overlap(half, half) == 1
    assert overlap(half, wall(2.0, at())) < 0.55
    assert overlap(sight_from_depth(CAMERA, at(), 0 * depth), half) == 0


def test_depth_of_another_size_is_refused():
    with pytest.raises(DatasetError, match=r"depth image is \(160, 120\), its camera \(320, 240\)"):
        sight_from_depth(CAMERA, at(), np.ones((120, 160), np.float32))


def test_without_depth_directions_decide():
    sights = [sight_without_depth(CAMERA, at(x=0.1, turn=turn), 3.0) for turn in (0.0, 0.3, 0.8, 3.0)]
    row = overlaps(sights)[0]
    assert row[1] > row[2] > 0 == row[3]


def test_typical_distance():
    assert typical_distance(np.zeros((4, 3))) == 1
    positions = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_allclose(typical_distance(7 * positions), 7 * typical_distance(positions))


def test_every_pair_once_and_no_level_waits_for_another():
    rng = np.random.default_rng(0)
    table = np.triu(rng.uniform(0, 1, (30, 30)), 1)
    table += table.T
    chosen = list(easy_to_hard(table, 0.2, rng))
    assert len({tuple(sorted(pair)) for pair in chosen}) == len(chosen) == (np.triu(table, 1) >= 0.2).sum()
    assert any(i > j for i, j in chosen) and any(i < j for i, j in chosen)
    first = np.array([table[pair] for pair in chosen[:50]])
    counts = np.histogram(first, np.linspace(0.2, 1, 6))[0]
    assert counts.tolist() == [10] * 5


def test_hard_pairs_go_on_when_there_are_no_more_easy_ones():
    table = np.full((6, 6), 0.25)
    table[0, 1] = table[1, 0] = 0.9
    assert len(list(itertools.islice(easy_to_hard(table, 0.1, np.random.default_rng(0)), 15))) == 15
