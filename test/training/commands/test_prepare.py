"""`relpose prepare correspondences` as a person types it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from relpose_ros.cli.main import make_parser
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands import prepare
from relpose_training.data.shards import ShardSet

FEW = ["--pairs", "4", "--keypoints", "300"]


def run(*words):
    args = make_parser({"prepare": prepare}).parse_args(["prepare", "correspondences", *map(str, words)])
    return prepare.run(args)


def test_folders_become_shards(tmp_path, wall_folder, capsys):
    one, two = (wall_folder(tmp_path / name, 5, k) for k, name in enumerate(("one", "two")))
    out = tmp_path / "out"
    assert run(one, two, "--out", out, "--split", "train=0.5,val=0.5", "--shards", "2", *FEW) == 0
    train, val = ShardSet(out, "train"), ShardSet(out, "val")
    assert sum(train.sizes) >= 3 and sum(val.sizes) >= 3 and len(train.sizes) == 2
    assert {train.index.meta["sequences"][0], val.index.meta["sequences"][0]} == {"one", "two"}
    said = capsys.readouterr()
    assert f"{out / 'train.json'}: {sum(train.sizes)} pairs" in said.out
    assert "one: 4 pairs of 5 images" in said.err


def test_oanet_format_and_back(tmp_path, wall_folder, capsys):
    assert run(wall_folder(tmp_path / "one", 5), "--out", tmp_path / "o", "--format", "oanet", *FEW) == 0
    file = tmp_path / "o" / "train.hdf5"
    assert file.is_file()
    assert run(file, "--out", tmp_path / "shards") == 0
    assert ShardSet(tmp_path / "shards", "train").sizes == [4]
    assert run(file, "--out", tmp_path / "shards", "--split", "test") == 0
    assert ShardSet(tmp_path / "shards", "test").sizes == [4]
    file.rename(tmp_path / "some.hdf5")
    with pytest.raises(ConfigurationError, match="of which split"):
        run(tmp_path / "some.hdf5", "--out", tmp_path / "again")


def test_simulated_worlds_are_numbered(tmp_path):
    words = ["simulate:corridor", "--worlds", "3", "--first-world", "7", "--views", "9", "--out", tmp_path]
    args = make_parser({"prepare": prepare}).parse_args(["prepare", "correspondences", *map(str, words)])
    names = [world.name for world in prepare.sequences_of(args)]
    assert names == [f"simulate:corridor:{number}" for number in (7, 8, 9)]


def test_sources_of_one_name_are_told_apart(tmp_path):
    words = ["a/images", "b/images", "c", "--out", tmp_path]
    args = make_parser({"prepare": prepare}).parse_args(["prepare", "correspondences", *map(str, words)])
    assert [source.name for source in prepare.sequences_of(args)] == ["a/images", "b/images", "c"]


@pytest.mark.parametrize("name", ["train_0000.pkl", "."])
def test_pickles_are_refused_with_what_to_do(tmp_path, name):
    (tmp_path / "train_0000.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(DatasetError, match=r"give those, as `relpose prepare correspondences yfcc"):
        run(tmp_path / name, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nowhere"], DatasetError, "no such file or folder"),
        (["nowhere.hdf5", "--split", "val"], DatasetError, "cannot be read"),
        (["a.hdf5", "b.hdf5"], ConfigurationError, "one OANet file at a time"),
        (["simulate:moon"], ConfigurationError, "any, office, rooms, corridor"),
        (["simulate:", "--worlds", "0"], ConfigurationError, "1 or more"),
        (["x", "--split", "testing"], ConfigurationError, "expected a split"),
        (["x", "-o", "topic"], ConfigurationError, "KEY=VALUE"),
        (["x", "--shards", "0"], ConfigurationError, "1 or more"),
    ],
)
def test_what_cannot_be_done(tmp_path, words, error, message):
    with pytest.raises(error, match=message):
        run(*words, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "train.json").exists()


def test_the_parser_is_made_without_heavy_imports():
    code = (
        "import sys, relpose_training.commands.prepare as p; from relpose_ros.cli.main import make_parser; "
        "make_parser({'prepare': p}); print(sorted({'torch', 'cv2', 'numpy', 'h5py'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
