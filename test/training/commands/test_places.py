"""`relpose prepare places` as a person types it."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from relpose_ros.cli.main import make_parser
from relpose_ros.datasets.bag_from_source import source_to_bag
from relpose_ros.datasets.open import open_source
from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands import places, prepare


def parse(*words):
    return make_parser({"prepare": prepare}).parse_args(["prepare", "places", *map(str, words)])


def run(*words):
    return prepare.run(parse(*words))


def test_a_folder_and_a_bag(tmp_path, wall_folder, capsys):
    folder = wall_folder(tmp_path / "wall", 8)
    bag = source_to_bag(open_source(wall_folder(tmp_path / "other", 8, 1)), None, tmp_path / "bag")
    out = tmp_path / "set"
    assert run(folder, bag, "--out", out, "--depth", 2, "--split", "train=0.5,val=0.5") == 0
    said = capsys.readouterr()
    assert "split  queries  without positives  gallery" in said.out
    assert "train  2        0 (left out)       6" in said.out and "val    2" in said.out
    assert "wall: 2 queries, 6 in the gallery; 2 queries have positives" in said.err
    dataset = open_place_recognition("auto", out)
    dataset.check_images()
    with pytest.raises(ConfigurationError, match="is there already"):
        run(folder, "--out", out)
    assert run(folder, "--out", out, "--depth", 2, "--split", "test", "--force", "--queries", "all") == 0
    dataset = open_place_recognition("auto", out)
    assert len(dataset.test.queries) == 8 and not dataset.train.queries


def test_map_and_query_split_of_a_source(tmp_path, wall_folder):
    folder = wall_folder(tmp_path / "wall", 6)
    (folder / "split.txt").write_text(
        "\n".join(f"{k:03d}.png {'query' if k < 4 else 'map'}" for k in range(6))
    )
    assert run(folder, "--out", tmp_path / "set", "--split", "test", "--depth", 2) == 0
    split = open_place_recognition("auto", tmp_path / "set").test
    assert [q.file for q in split.queries] == [f"wall/{k:03d}.png" for k in range(4)]


def test_two_drives_in_one_frame(tmp_path, wall_folder):
    drives = [wall_folder(tmp_path / name, 4, k) for k, name in enumerate(("day", "night"))]
    assert run(*drives, "--one-frame", "--out", tmp_path / "set", "--split", "test", "--depth", 2) == 0
    split = open_place_recognition("auto", tmp_path / "set").test
    assert len(split.queries) == len(split.gallery) == 4


def test_processes_give_the_same(tmp_path, wall_folder):
    folders = [wall_folder(tmp_path / f"w{k}", 5, k) for k in range(2)]
    for workers in (1, 2):
        out = tmp_path / f"set{workers}"
        assert run(*folders, "--out", out, "--split", "train", "--depth", 2, "--workers", workers) == 0
    one, two = ((tmp_path / name / "places.json").read_text() for name in ("set1", "set2"))
    assert one.replace("set1", "") == two.replace("set2", "")


def test_labels_and_tables_are_recognised(tmp_path):
    for side in ("query", "ref"):
        (tmp_path / "seasons/images" / side).mkdir(parents=True)
        for k in range(4):
            cv2.imwrite(str(tmp_path / "seasons/images" / side / f"{k}.png"), np.zeros((8, 8), np.uint8))
    rows = "\n".join(f"{k}.png,{k}.png" for k in range(4))
    (tmp_path / "seasons/gt.csv").write_text(f"query,refs\n{rows}\n")
    out = tmp_path / "labelled"
    assert run(tmp_path / "seasons", "--out", out, "--split", "train=0.5,test=0.5", "--seed", 3) == 0
    dataset = open_place_recognition("auto", out)
    assert len(dataset.train.queries) == len(dataset.test.queries) == 2
    shutil.copytree(tmp_path / "seasons/images/ref", tmp_path / "town")
    lines = "\n".join(f"{k}.png,48.85{k // 2},2.35{k % 2}" for k in range(4))
    (tmp_path / "town/images.csv").write_text(f"file,lat,lon\n{lines}\n")
    words = ["--split", "val", "--distances", 50, 80, "--queries", "all"]
    assert run(tmp_path / "town/images.csv", "--out", tmp_path / "gps", *words) == 0
    split = open_place_recognition("auto", tmp_path / "gps").val
    assert [p.tolist() for p in split.positives] == [[1], [0], [3], [2]]


def test_worlds_by_number(tmp_path):
    def names(*words):
        return [source.name for source in places.sources_of(parse(*words, "--out", tmp_path))]

    assert names("simulate:corridor", "--worlds", 2, "--first-world", 5) == [
        "simulate:corridor:5",
        "simulate:corridor:6",
    ]
    assert names("simulate:office,world=3", "simulate:corridor,world=0") == [
        "simulate:office:3",
        "simulate:corridor:0",
    ]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nowhere"], DatasetError, "no such file or folder"),
        (["nowhere.csv"], DatasetError, "cannot read"),
        (["simulate:moon"], ConfigurationError, "any, office, rooms, corridor"),
        (["simulate:office,room=3"], ConfigurationError, "expected simulate:office,world=3"),
        (["x", "--workers", "0"], ConfigurationError, "1 or more"),
        (["x", "--split", "exam"], ConfigurationError, "expected a split"),
        (["x", "--positive-overlap", "2"], ConfigurationError, "overlaps 0 < near <= positive <= 1"),
        (["x", "--one-frame"], ConfigurationError, "two sources of posed images"),
        (["simulate:office,world=3", "--refer", "--views", "5"], ConfigurationError, "6 views"),
        (["x", "-o", "topic"], ConfigurationError, "KEY=VALUE"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, words, error, message):
    with pytest.raises(error, match=message):
        run(*words, "--out", tmp_path / "set")
    assert not (tmp_path / "set" / "places.json").exists()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    said = capsys.readouterr().out
    for word in (
        "--positive-overlap",
        "simulate:corridor,world=3",
        "lat,lon",
        "one-frame",
        "left\nout and counted",
    ):
        assert word in said
