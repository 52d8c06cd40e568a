"""Which references are matched with each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.pairs import select_pairs


def row(count: int, spacing: float = 1.0) -> Rigid:
    centres = np.zeros((count, 3))
    centres[:, 0] = spacing * np.arange(count)
    return Rigid(np.tile(np.eye(3), (count, 1, 1)), centres)


def different(count: int) -> np.ndarray:
    """Descriptors that look the less alike, the further apart they are in the row."""
    apart = np.subtract.outer(np.arange(count), np.arange(count))
    rows = np.exp(-0.02 * apart**2)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_pairs_are_ordered_unique_and_of_two() -> None:
    pairs = select_pairs(row(12), different(12), 4)
    assert pairs == sorted(set(pairs)) and all(i < j for i, j in pairs)


def test_neighbours_in_a_row_are_paired_whatever_its_unit() -> None:
    for spacing in (1e-3, 1.0, 1e3):
        pairs = set(select_pairs(row(20, spacing), different(20), 4))
        assert {(i, i + 1) for i in range(19)} <= pairs
        assert max(j - i for i, j in pairs) < 19


def test_everything_is_paired_in_a_small_map() -> None:
    assert len(select_pairs(row(6), different(6), 20)) == 15


def test_views_that_cannot_see_the_same_are_not_paired() -> None:
    poses = Rigid.from_rotation_vector([[0, 0, 0], [0, np.pi, 0], [0, 0.1, 0]], np.zeros((3, 3)))
    assert select_pairs(poses, different(3), 20) == [(0, 2)]


def test_what_looks_alike_is_paired_however_far() -> None:
    """A loop closure: the ends of a long row look the same."""
    descriptors = different(60)
    descriptors[59] = descriptors[0]
    assert (0, 59) in select_pairs(row(60), descriptors, 6)
    assert (0, 59) not in select_pairs(row(60), different(60), 6)


def test_equal_places_and_two_references_do_no_harm() -> None:
    assert select_pairs(Rigid(np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))), different(2), 5) == [(0, 1)]
    assert select_pairs(row(1), different(1), 5) == []


def test_number_of_pairs_grows_with_the_map_and_not_its_square(point_world: Any) -> None:
    poses = Rigid.stack(point_world.drive(100, turns=5))
    assert len(select_pairs(poses, different(100), 10)) < 100 * 15
