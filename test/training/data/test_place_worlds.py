"""Simulated worlds with a gallery and queries of other looks. Nothing is rendered here."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_training.data.place_worlds import PlaceWorld


def names(look, views=12):
    images = PlaceWorld(3, "office", views, look).images()
    return [(image.split, image.name.split("/")[0].rpartition("_")[2]) for image in images], images


def test_looks_of_the_queries():
    same, other, mixed = (names(look)[0] for look in ("same", "other", "mixed"))
    gallery = {look for split, look in same if split == "map"}
    assert len(gallery) == 1 and {look for split, look in same if split == "query"} == gallery
    for listed in (other, mixed):
        assert {look for split, look in listed if split == "map"} == gallery
    assert {look for split, look in other if split == "query"} == {"a", "b"} - gallery
    assert sorted(look for split, look in mixed if split == "query") == ["a", "a", "b", "b"]
    assert [split for split, _ in mixed].count("map") == 8


def test_queries_are_taken_on_another_drive_in_the_same_frame():
    _, images = names("mixed", 30)
    assert len({image.name for image in images}) == len(images)
    at = {
        split: np.stack([i.map_from_camera.translation for i in images if i.split == split])
        for split in ("map", "query")
    }
    nearest = np.linalg.norm(at["query"][:, None] - at["map"], axis=2).min(axis=1)
    assert 0.01 < nearest.mean() < 3.0
    assert all(image.load_depth is not None for image in images)


def test_worlds_have_numbers_and_names():
    assert PlaceWorld(3, "office").name == "simulate:office:3"
    assert PlaceWorld(4, "office").images()[0].map_from_camera.translation.tolist() != (
        PlaceWorld(3, "office").images()[0].map_from_camera.translation.tolist()
    )
    for bad in ({"kind": "moon"}, {"views": 5}, {"look": "night"}, {"number": -1}):
        with pytest.raises(ConfigurationError):
            PlaceWorld(**{"number": 0, **bad})
