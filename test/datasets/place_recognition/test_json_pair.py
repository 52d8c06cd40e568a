"""Datasets of one's own: meta.json and splits.json."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from relpose_ros.datasets.place_recognition.json_pair import (
    as_json,
    from_json,
    read_json_pair,
    write_json_pair,
)
from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.errors import DatasetError

META = {
    "name": "yard",
    "identities": [["q/b.jpg", "q/a.jpg"], ["d/1.jpg"], ["d/2.jpg"]],
    "utm": [[0.0, 0.0], [3, 4], [30.0, 0.0]],
}
SPLITS = {name: ([0] if name[0] == "q" else [1, 2]) for name in ("q_train", "q_val", "q_test")} | {
    name: [1, 2] for name in ("db_train", "db_val", "db_test")
}


def write(folder, meta=META, splits=SPLITS):
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "splits.json").write_text(json.dumps(splits))


def test_a_dataset_of_ones_own(tmp_path):
    write(tmp_path)
    dataset = open_place_recognition("custom", tmp_path)
    assert [image.file for image in dataset.test.queries] == ["q/a.jpg", "q/b.jpg"]
    assert [p.tolist() for p in dataset.test.positives] == [[0], [0]]
    assert dataset.name == "yard" and dataset.path(dataset.test.gallery[0]) == tmp_path / "raw/d/1.jpg"


def test_written_and_read_again(tmp_path):
    table = from_json(META, SPLITS, "here")
    write_json_pair(table, tmp_path / "m.json", tmp_path / "s.json")
    assert read_json_pair(tmp_path / "m.json", tmp_path / "s.json") == table
    assert as_json(table) == (META, SPLITS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.json", "s.json"]


BROKEN = [
    (("utm",), [[0, 0]], "one position for each place"),
    (("utm", 0), [0, None], r"position \[x, y\]"),
    (("utm", 0), [0, float("nan")], r"position \[x, y\]"),
    (("utm", 0), [True, 0], r"position \[x, y\]"),
    (("identities", 1), [], "list of image files"),
    (("identities", 1), ["/etc/passwd"], "inside the dataset"),
    (("identities",), 3, "a list 'identities'"),
]


@pytest.mark.parametrize(("where", "value", "message"), BROKEN)
def test_a_broken_meta(where, value, message):
    meta = copy.deepcopy(META)
    target: Any = meta
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = value
    with pytest.raises(DatasetError, match=message):
        from_json(meta, SPLITS, "here")


@pytest.mark.parametrize("numbers", [[3], [-1], ["0"], [True], None, 5, [1, 1]])
def test_broken_splits(numbers):
    with pytest.raises(DatasetError, match=r"here: (expected|place 1 is listed twice)"):
        from_json(META, {**SPLITS, "db_val": numbers}, "here")


def test_files_that_are_no_json(tmp_path):
    write(tmp_path)
    (tmp_path / "splits.json").write_text('{"q_train": [0')
    with pytest.raises(DatasetError, match=r"splits\.json: not a whole JSON file"):
        open_place_recognition("custom", tmp_path)
    (tmp_path / "splits.json").unlink()
    with pytest.raises(DatasetError, match=r"splits\.json: cannot read"):
        open_place_recognition("custom", tmp_path)
    with pytest.raises(DatasetError):
        from_json([], SPLITS, "here")
