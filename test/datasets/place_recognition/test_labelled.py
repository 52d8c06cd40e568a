"""Places by labels alone: images/query, images/ref, gt.csv."""

from __future__ import annotations

import pytest

from relpose_ros.datasets.place_recognition.labelled import labelled_split, read_labelled
from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.errors import DatasetError


def write(folder, rows, queries=("a.jpg", "b.jpg", "c.jpg"), references=("0.jpg", "1.jpg", "2.jpg", "3.jpg")):
    for side, names in (("query", queries), ("ref", references)):
        (folder / "images" / side).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / "images" / side / name).touch()
    (folder / "images" / "ref" / "notes.txt").touch()
    (folder / "gt.csv").write_text("query,refs\n" + "\n".join(rows) + "\n")
    return folder


def test_labels_are_positives_and_a_query_without_any_is_left_out(tmp_path):
    write(tmp_path, ["b.jpg,2.jpg", "a.jpg,1.jpg;0.jpg", "c.jpg,"])
    dataset = open_place_recognition("auto", tmp_path)
    assert [q.file for q in dataset.test.queries] == ["query/a.jpg", "query/b.jpg"]
    assert [g.file for g in dataset.test.gallery] == [f"ref/{k}.jpg" for k in range(4)]
    assert [p.tolist() for p in dataset.test.positives] == [[0, 1], [2]]
    assert dataset.dropped == {"test": 1} and "1 queries of test" in dataset.summary()
    assert dataset.path(dataset.test.queries[0]) == tmp_path / "images/query/a.jpg"
    dataset.check_images()
    assert len({image.place for image in (*dataset.test.queries, *dataset.test.gallery)}) == 6


def test_it_is_for_tests_and_says_so(tmp_path):
    dataset = read_labelled(write(tmp_path, ["a.jpg,1.jpg"]))
    assert not dataset.train.queries and not dataset.val.gallery
    with pytest.raises(DatasetError, match=r"train split has no queries, only test has; .*prepare places"):
        dataset.split("train")


def test_what_queries_of_one_place_find_is_near_for_each_other(tmp_path):
    rows = ["a.jpg,0.jpg;1.jpg", "b.jpg,1.jpg;2.jpg", "c.jpg,3.jpg"]
    split = labelled_split(write(tmp_path, rows))
    assert [n.tolist() for n in split.near] == [[0, 1, 2], [0, 1, 2], [3]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.jpg,7.jpg"], r"gt.csv:2: no such reference in images/ref: '7.jpg'"),
        (["a.jpg,notes.txt"], "no such reference"),
        (["a.jpg,1.jpg", "a.jpg,2.jpg"], r"gt.csv:3: 'a.jpg' is listed twice"),
        (["d.jpg,1.jpg"], "no such query image: .*d.jpg"),
        (["../a.jpg,1.jpg"], "inside the dataset's folder"),
        (["a.jpg,1.jpg,2.jpg"], "gt.csv:2: expected query,refs"),
        ([], "at least one query"),
        (["a.jpg,\x00"], "gt.csv"),
    ],
)
def test_broken_labels(tmp_path, rows, message):
    with pytest.raises(DatasetError, match=message):
        read_labelled(write(tmp_path, rows))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"images: expected the folder that gt\.csv is about"):
        read_labelled(tmp_path)
    write(tmp_path, ["a.jpg,1.jpg"])
    (tmp_path / "gt.csv").write_text("a,b\n")
    with pytest.raises(DatasetError, match="expected the header query,refs"):
        read_labelled(tmp_path)
    (tmp_path / "gt.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_labelled(tmp_path)
