"""Twins in a map: kept on disk, renumbered when references go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from relpose_ros.maps.bundle import Map
from relpose_ros.maps.leave_out import leave_out


def with_twins(map_: Map) -> Map:
    return replace(map_, twins=np.array([[1, 9], [3, 9], [4, 12]], np.int32))


def test_a_hall_without_repetition_has_none(point_map: Map) -> None:
    assert point_map.twins.shape == (0, 2) and point_map.twins_of == {}


def test_twins_go_both_ways(point_map: Map) -> None:
    assert with_twins(point_map).twins_of == {1: {9}, 3: {9}, 9: {1, 3}, 4: {12}, 12: {4}}


def test_twins_are_kept_on_disk(point_map: Map, tmp_path: Path) -> None:
    with_twins(point_map).save(tmp_path / "a.relmap")
    np.testing.assert_array_equal(Map.open(tmp_path / "a.relmap").twins, with_twins(point_map).twins)


def test_twins_are_renumbered(point_map: Map) -> None:
    left = leave_out(with_twins(point_map), [0, 4])
    np.testing.assert_array_equal(left.twins, [[0, 7], [2, 7]])
