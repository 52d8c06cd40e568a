"""Descriptors for a network over graphs in the map file: optional, whole, and read when they are wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import MapError
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.graph_rows import GraphFeatures
from relpose_ros.maps.leave_out import leave_out
from relpose_ros.maps.storage import read_map

CALIBRATION = {"edges": {"translation": 2.0, "rotation": 3.0}}


@pytest.fixture(scope="module")
def attached(point_map: Map) -> Map:
    rows = np.random.default_rng(0).normal(size=(len(point_map), 96)).astype(np.float16).astype(np.float32)
    graph = GraphFeatures(rows, "net.safetensors", "a" * 64, "relpose_gnn.robot", {"height": 96}, CALIBRATION)
    return replace(point_map, graph=graph)


@pytest.mark.parametrize("lazy", [False, True])
def test_what_goes_in_comes_out(attached: Map, tmp_path: Path, lazy: bool) -> None:
    read = read_map(attached.save(tmp_path / "a.relmap").path, lazy=lazy)
    assert read.graph is not None and len(read.graph) == len(attached)
    assert isinstance(read.graph.descriptors, np.ndarray) != lazy
    np.testing.assert_array_equal(np.asarray(read.graph.descriptors), attached.graph.descriptors)
    chosen = np.array([3, 1, 3])
    np.testing.assert_array_equal(read.graph.descriptors[chosen], attached.graph.descriptors[chosen])
    for name in ("name", "sha256", "network", "input", "calibration"):
        assert getattr(read.graph, name) == getattr(attached.graph, name)
    assert read.info()["relpose_gnn"]["dimension"] == 96
    again = read_map(read.save(tmp_path / "b.relmap").path)
    np.testing.assert_array_equal(again.graph.descriptors, attached.graph.descriptors)


def test_a_map_without_them_opens_and_says_so(point_map: Map, tmp_path: Path) -> None:
    read = Map.open(point_map.save(tmp_path / "a.relmap").path)
    assert read.graph is None and read.info()["relpose_gnn"] is None
    plain = (tmp_path / "a.relmap").read_bytes()
    assert b"graph/descriptor" not in plain


def test_half_of_the_references_keep_theirs(attached: Map) -> None:
    part = leave_out(attached, [0, 2])
    kept = [i for i in range(len(attached)) if i not in (0, 2)]
    np.testing.assert_array_equal(part.graph.descriptors, attached.graph.descriptors[kept])
    assert part.graph.calibration == CALIBRATION


def test_those_of_two_maps_are_joined_if_one_network_made_them(attached: Map) -> None:
    graph = attached.graph
    assert graph is not None
    both = graph.joined(graph)
    assert len(both) == 2 * len(graph) and both.calibration == {}
    for other in (replace(graph, sha256="b" * 64), replace(graph, input={"height": 64})):
        with pytest.raises(ValueError, match=r"net\.safetensors \(sha256 aaaaaaaaaaaa\)"):
            graph.joined(other)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"descriptors": np.zeros((3, 96), np.float32)},
        {"descriptors": np.zeros((16, 0), np.float32)},
        {"descriptors": np.zeros((16, 2, 2), np.float32)},
        {"name": 7},
        {"calibration": []},
    ],
)
def test_parts_that_do_not_fit_are_refused(attached: Map, tmp_path: Path, change: dict, lazy: bool) -> None:
    assert attached.graph is not None
    broken = replace(attached, graph=replace(attached.graph, **change))
    path = broken.save(tmp_path / "a.relmap").path
    with pytest.raises(MapError, match=r"a\.relmap.*do not fit together"):
        read_map(path, lazy=lazy)


def test_who_made_them_must_be_told(attached: Map, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for told in ("{}", "[]", json.dumps({"name": "x"})):
        monkeypatch.setattr(GraphFeatures, "about", lambda _, told=told: {"graph": told})
        path = attached.save(tmp_path / "a.relmap").path
        with pytest.raises(MapError, match="do not fit together"):
            Map.open(path)


def test_a_damaged_row_is_a_map_error(attached: Map, tmp_path: Path) -> None:
    path = attached.save(tmp_path / "a.relmap").path
    content = bytearray(path.read_bytes())
    place = content.find(attached.graph.descriptors[5].astype(np.float16).tobytes())
    assert place > 0
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(MapError, match="checksum"):
        Map.open(path)
    opened = read_map(path, lazy=True)
    with pytest.raises(MapError, match="checksum"):
        _ = opened.graph.descriptors[np.array([5])]
