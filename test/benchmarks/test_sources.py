"""A map that lies in the benchmarks' folder is used only for the references that it was built of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.sources import fresh_map, is_of, limited
from relpose_ros.datasets.open import open_source
from relpose_ros.maps.bundle import Map


@pytest.fixture
def opened(small_world) -> Map:
    return Map.open(small_world.map)


def test_the_map_of_these_references_is_used_again(small_world, opened, monkeypatch):
    monkeypatch.setattr("benchmarks.sources.build_map", lambda *_: pytest.fail("it was built"))
    source = open_source(small_world.folder)
    assert fresh_map(source, small_world.map).reference_names == opened.reference_names
    fewer_queries = limited(source, None, 1)
    assert is_of(opened, fewer_queries)


def test_a_map_of_other_references_is_built_again(small_world, monkeypatch, capsys):
    built = []
    monkeypatch.setattr("benchmarks.sources.build_map", lambda source, path: built.append(source))
    source = open_source(small_world.folder)
    fewer = limited(source, len(source.references) - 1, None)
    fresh_map(fewer, small_world.map)
    assert built == [fewer] and "it is built again" in capsys.readouterr().out


def test_names_and_poses_say_whose_references_they_are(small_world, opened):
    source = open_source(small_world.folder)
    first, *others = source.references
    moved = first.map_from_camera.perturbed([0.5, 0, 0, 0, 0, 0])
    for other in (replace(first, name="another.jpg"), replace(first, map_from_camera=moved)):
        assert not is_of(opened, replace(source, images=(other, *others)))


def test_what_a_map_left_out_is_not_missing(small_world, opened):
    source = open_source(small_world.folder)
    extra = replace(source.references[0], name="blank.jpg")
    grown = replace(source, images=(*source.images, extra))
    assert not is_of(opened, grown)
    without = replace(opened, provenance={**opened.provenance, "left_out": {"blank.jpg": "no features"}})
    assert is_of(without, grown)
