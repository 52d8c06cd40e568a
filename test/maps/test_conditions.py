"""Several recordings in one map: what each brings and what hangs together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import MapError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.bundle import UNNAMED, Map
from relpose_ros.maps.conditions import facts_by_condition, of_conditions
from relpose_ros.maps.covisibility import Covisibility
from relpose_ros.maps.extract import FeatureStore, extract_references
from relpose_ros.progress import silent


@pytest.fixture
def two(point_map: Map) -> Map:
    """The hall, every second reference taken at night."""
    return replace(point_map, conditions=("", "night") * 8)


def test_what_each_condition_brings(two: Map) -> None:
    day, night = facts_by_condition(two)
    assert (day.name, night.name) == (UNNAMED, "night") and day.references == night.references == 8
    seen = [set(np.concatenate([two.visible[i] for i in range(k, 16, 2)]).tolist()) for k in range(2)]
    assert [day.landmarks, night.landmarks] == [len(s) for s in seen]
    assert day.shared == night.shared == len(seen[0] & seen[1]) > 0


def test_references_by_condition(two: Map) -> None:
    assert of_conditions(two, ["night"]) == list(two.reference_names[1::2])
    assert of_conditions(two, [UNNAMED]) == list(two.reference_names[::2])
    with pytest.raises(MapError, match=r"'winter'; expected one of: \(unnamed\), night"):
        of_conditions(two, ["night", "winter"])


@pytest.mark.parametrize(("given", "expected"), [("", ["night", ""]), ("winter", ["winter", "winter"])])
def test_a_condition_comes_with_the_image_or_for_all(tmp_path: Path, given: str, expected: list[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8)
    camera = Camera("pinhole", 60, 60, 31.5, 23.5, 64, 48)
    images = [
        PosedImage(name, camera, Rigid.identity(), "map", lambda: pixels, condition=condition)
        for name, condition in (("a", "night"), ("b", ""))
    ]
    store, options = FeatureStore(tmp_path / "m.relmap"), BuildOptions(condition=given)
    references, left_out = extract_references(images, options, store, silent)
    assert [r.condition for r in references] == expected and not left_out


def test_info_counts_them(two: Map) -> None:
    assert two.info()["conditions"] == ["", "night"]
    assert two.info()["condition_counts"] == {UNNAMED: 8, "night": 8}


def test_sightings_are_counted_as_they_are(point_map: Map) -> None:
    seen = Covisibility.of(point_map)
    assert seen.landmarks.tolist() == [len(v) for v in point_map.visible]
    assert seen.seers.sum() == point_map.sightings and seen.seers.min() >= 2
    both = len(set(point_map.visible[0].tolist()) & set(point_map.visible[1].tolist()))
    assert seen.shared.toarray()[0, 1] == both and not seen.shared.toarray().diagonal().any()


def test_a_map_falls_apart_where_nothing_is_shared(point_map: Map) -> None:
    assert [len(i) for i in Covisibility.of(point_map).islands()] == [16]
    blind = replace(point_map.features[3], landmarks=np.full_like(point_map.features[3].landmarks, -1))
    cut = replace(point_map, features=tuple(blind if i == 3 else f for i, f in enumerate(point_map.features)))
    seen = Covisibility.of(cut)
    assert [i.tolist() for i in seen.islands()][1] == [3]
    assert seen.partners()[3] == 0 and seen.partners()[4] > 0
