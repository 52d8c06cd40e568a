"""`relpose prepare matches` as a person types it."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from relpose_ros.cli.main import make_parser
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands import matches, prepare
from relpose_training.data.matching_pairs import read_pairs
from relpose_training.data.shards import ShardSet

FEW = ["--pairs", "4", "--keypoints", "250", "--least-keypoints", "40", "--most-overlap", "0.99"]


def parse(*words):
    return make_parser({"prepare": prepare}).parse_args(["prepare", "matches", *map(str, words)])


def run(*words):
    return prepare.run(parse(*words))


@pytest.fixture
def with_depth(wall_folder, wall, tmp_path):
    """A posed folder with depth images."""

    def write(name, count, seed=0):
        folder = wall_folder(tmp_path / name, count, seed)
        (folder / "depth").mkdir()
        for image in wall(count, seed):
            depth = np.round(1000 * image.load_depth()).astype(np.uint16)
            cv2.imwrite(str(folder / "depth" / image.name), depth)
        return folder

    return write


def test_folders_with_depth_become_shards(tmp_path, with_depth, capsys):
    one, two, out = with_depth("one", 5), with_depth("two", 5, 1), tmp_path / "out"
    assert run(one, two, "--out", out, "--split", "train=0.5,val=0.5", *FEW) == 0
    train, val = ShardSet(out, "train"), ShardSet(out, "val")
    assert train.sizes == val.sizes == [4]
    assert {train.index.meta["sequences"][0], val.index.meta["sequences"][0]} == {"one", "two"}
    assert train.index.meta["metric"] and train.index.meta["source"] == f"{one} {two}"
    said = capsys.readouterr()
    assert f"{out / 'train.json'}: 4 pairs" in said.out and "one: 4 pairs of 5 images" in said.err
    with pytest.raises(ConfigurationError, match="--force"):
        run(one, "--out", out, *FEW)


def test_landmarks_come_from_a_file(tmp_path, wall_folder, monkeypatch):
    folder = wall_folder(tmp_path / "bare", 5)
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 200), np.linspace(-1.5, 1.5, 150)), -1).reshape(-1, 2)
    points = np.c_[grid, np.full(len(grid), 2.0)]
    monkeypatch.setattr(
        "relpose_training.commands.scene._points_by_name",
        lambda path: {f"{k:03d}.png": points for k in range(4)},
    )
    with pytest.raises(DatasetError, match="neither depth nor landmarks"):
        run(folder, "--out", tmp_path / "out", *FEW)
    assert run(folder, "--landmarks", "a.relmap", "--out", tmp_path / "out", *FEW, "--most-overlap", "1") == 0
    assert ShardSet(tmp_path / "out", "train").sizes == [4]
    with pytest.raises(ConfigurationError, match="belongs to one SOURCE"):
        run(folder, folder, "--landmarks", "a.relmap", "--out", tmp_path / "again")


def test_homographies_of_photos(tmp_path, rendered_world):
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), rendered_world.images[0].load())
    words = ["--homographies", "2", "--keypoints", "200", "--least-keypoints", "30", "--least-matches", "5"]
    assert run(tmp_path / "photos", *words, "--out", tmp_path / "out") == 0
    shards = ShardSet(tmp_path / "out", "train")
    assert shards.sizes == [2] and shards.index.meta["descriptor_size"] == 64


def test_a_dump_is_converted(tmp_path, goldens):
    dump = goldens / "imp" / "fixture_megadepth_dump"
    (tmp_path / "scenes.txt").write_text("# debug\n5015\n")
    words = ["--dump", dump, "--scenes", tmp_path / "scenes.txt", "--split", "val", "--out", tmp_path / "out"]
    assert run(*words) == 0
    assert ShardSet(tmp_path / "out", "val").sizes == [2]


def test_an_evaluation_set_in_the_published_layout(tmp_path, with_depth, capsys):
    file = tmp_path / "wall_root_250.hdf5"
    words = [with_depth("one", 5), "--features", "rootsift128", "--evaluation", file, *FEW]
    assert run(*words) == 0 and f"{file}: 4 pairs" in capsys.readouterr().out
    pairs = list(read_pairs(file))
    assert len(pairs) == 4 and pairs[0].features[0].descriptors.shape[1] == 128
    scores = pairs[0].features[0].keypoints[:, 2]
    assert 0 < scores[0] < 1  # the detector's, not the rank
    with pytest.raises(ConfigurationError, match="exists already"):
        run(*words)


def test_what_is_said_wins_over_what_is_published():
    options = matches.options_of(parse("x", "--out", "y", "--published", "--least-keypoints", "500"))
    assert options.least_keypoints == 500 and options.compat and options.features == "rootsift128"
    assert matches.options_of(parse("x", "--out", "y")) == type(options)()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nowhere", "--out", "o"], DatasetError, "no such file or folder"),
        (["--out", "o"], ConfigurationError, "one of SOURCE"),
        (["x", "--dump", "y", "--out", "o"], ConfigurationError, "one of SOURCE"),
        (["x"], ConfigurationError, "--out FOLDER"),
        (["x", "--out", "o", "--evaluation", "e"], ConfigurationError, "one of them"),
        (["x", "--out", "o", "--worlds", "0"], ConfigurationError, "1 or more"),
        (["x", "--out", "o", "--homographies", "-1"], ConfigurationError, "--homographies"),
        (["x", "--out", "o", "--scenes", "s"], ConfigurationError, "--scenes is of"),
        (["--dump", "nowhere", "--out", "o"], DatasetError, "cannot be read"),
        (["--dump", "nowhere", "--scenes", "none", "--out", "o"], DatasetError, "cannot be read"),
        (["--dump", "d", "--evaluation", "e"], ConfigurationError, "no test set"),
        (["--megadepth", "nowhere", "--out", "o"], DatasetError, "0 scenes are there"),
        (["x", "--out", "o", "--features", "superglue"], ConfigurationError, "'superglue' is unknown"),
        (["x", "--evaluation", "e", "--pair-list", "nowhere"], DatasetError, "cannot read"),
        (["photos", "--out", "o", "--homographies", "1"], DatasetError, "no such file"),
    ],
)
def test_what_cannot_be_is_said(words, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        run(*words)


def test_help_is_quick_and_complete():
    done = subprocess.run(
        [sys.executable, "-m", "relpose_ros.cli.main", "prepare", "matches", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "--homographies" in done.stdout and "--evaluation" in done.stdout
