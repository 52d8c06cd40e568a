"""places.json: written and read again, and everything that is none."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.places_file import read_places, write_places
from relpose_ros.datasets.place_recognition.splits import EMPTY, PlaceDataset, PlaceSplit
from relpose_ros.errors import DatasetError

NAN = float("nan")


def dataset(images):
    queries = PlaceImage("a/0.jpg", 0, 1.5, -2.0), PlaceImage("a/1.jpg", 1, NAN, NAN)
    gallery = tuple(PlaceImage(f"g/{k}.jpg", 2 + k, float(k), 4e6) for k in range(3))
    positives, near = (np.array([1]), np.array([0, 2])), (np.array([1, 2]), np.array([0, 1, 2]))
    split = PlaceSplit(queries, gallery, positives, near)
    return PlaceDataset("yard", images, split, EMPTY, EMPTY, {"train": 3})


def as_written(tmp_path) -> Any:
    (tmp_path / "images").mkdir(exist_ok=True)
    write_places(dataset(tmp_path / "images"), tmp_path, {"sources": "x"})
    return json.loads((tmp_path / "places.json").read_text())


def test_written_and_read_again(tmp_path):
    content = as_written(tmp_path)
    assert content["version"] == 1 and content["images"] == "images" and content["made"] == {"sources": "x"}
    back = open_place_recognition("auto", tmp_path)
    assert repr(back.train) == repr(dataset(tmp_path).train)  # NaN is not equal to itself
    assert back.name == "yard" and back.dropped == {"train": 3} and not back.test.queries
    assert back.path(back.train.gallery[2]) == tmp_path / "images/g/2.jpg"
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["images", "places.json"]


def test_images_may_lie_elsewhere(tmp_path):
    (tmp_path / "photos").mkdir()
    write_places(dataset(tmp_path / "photos"), tmp_path / "set", {})
    assert read_places(tmp_path / "set").images == tmp_path / "photos"
    (tmp_path / "photos").rmdir()
    with pytest.raises(DatasetError, match=r"the images of places\.json, but there is nothing"):
        read_places(tmp_path / "set")


def test_positives_are_near_and_lists_are_put_in_order(tmp_path):
    content = as_written(tmp_path)
    content["splits"]["train"] |= {"positives": [[2, 0], []], "near": [[1], [1]]}
    (tmp_path / "places.json").write_text(json.dumps(content))
    back = read_places(tmp_path)
    assert [p.tolist() for p in back.train.positives] == [[0, 2]] and back.dropped == {"train": 4}
    assert [n.tolist() for n in back.train.near] == [[0, 1, 2]]


BROKEN = [
    (("version",), 2, "version 1, got 2"),
    (("splits",), [], "'splits' to be a dict"),
    (("splits", "exam"), {}, "expected splits of train, val, test"),
    (("images",), None, "'images' to be a str"),
    (("images",), "gone", "there is nothing"),
    (("name",), 3, "'name'"),
    (("dropped",), {"train": -1}, "dropped: expected counts"),
    (("splits", "train", "queries", 0, "file"), "../../etc/passwd", "inside the dataset"),
    (("splits", "train", "queries", 0, "file"), "a/1.jpg", "listed twice in queries"),
    (("splits", "train", "gallery", 0, "place"), "x", "'place' to be a int"),
    (("splits", "train", "gallery", 0, "x"), "1", "expected metres or null"),
    (("splits", "train", "gallery", 0, "x"), True, "expected metres or null"),
    (("splits", "train", "gallery", 0), "g/0.jpg", "'file'"),
    (("splits", "train", "positives"), [[1]], "for each of 2 queries, got 1 and 2"),
    (("splits", "train", "positives", 0), [3], "gallery images, 0 to 2"),
    (("splits", "train", "positives", 0), [-1], "gallery images, 0 to 2"),
    (("splits", "train", "near", 0), [True], "gallery images, 0 to 2"),
    (("splits", "train", "near", 0), 1, "gallery images, 0 to 2"),
]


@pytest.mark.parametrize(("where", "value", "message"), BROKEN)
def test_a_broken_file_is_refused(tmp_path, where, value, message):
    content = copy.deepcopy(as_written(tmp_path))
    target = content
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = value
    (tmp_path / "places.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message):
        read_places(tmp_path)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", '{"version": 1}', "[" * 100000])
def test_what_is_no_such_file(tmp_path, text):
    (tmp_path / "places.json").write_text(text)
    with pytest.raises(DatasetError, match=r"places\.json"):
        read_places(tmp_path)
