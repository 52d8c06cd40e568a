"""Data sets of correspondences: whole sequences in one split, resumable, in our format and in OANet's."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.correspondence_set import (
    PARTS,
    Part,
    Target,
    convert_oanet,
    prepare_correspondences,
)
from relpose_training.data.correspondences import VARYING, CorrespondenceOptions
from relpose_training.data.oanet_hdf5 import OANetFile
from relpose_training.data.oanet_writer import write_oanet
from relpose_training.data.sequences import SourceSequence, divide, parse_split
from relpose_training.data.shards import ShardSet

OPTIONS = CorrespondenceOptions(max_keypoints=200, pairs=4, least_matches=20)


@dataclass(frozen=True)
class Walls:
    """A sequence that counts how often it was opened."""

    wall: object
    name: str
    seed: int = 0
    opened: list | None = None

    def __repr__(self):
        return f"Walls({self.name}, {self.seed})"

    def images(self):
        if self.opened is not None:
            self.opened.append(self.name)
        return self.wall(5, self.seed)


@pytest.fixture
def sequences(wall):
    opened = []
    return [Walls(wall, f"wall{k}", k, opened) for k in range(3)]


def test_whole_sequences_are_in_one_split(tmp_path, sequences):
    shares = {"train": 0.6, "val": 0.4}
    told = []
    counts = prepare_correspondences(
        sequences, shares, Target(tmp_path, shards=2), OPTIONS, "walls", progress=lambda *a: told.append(a)
    )
    train, val = ShardSet(tmp_path, "train"), ShardSet(tmp_path, "val")
    assert counts == {"train": sum(train.sizes), "val": sum(val.sizes)}
    names = [split.index.meta["sequences"] for split in (train, val)]
    assert sorted(names[0] + names[1]) == ["wall0", "wall1", "wall2"] and all(names)
    assert train.index.meta["source"] == "walls" and train.index.meta["options"]["pairs"] == 4
    numbers = {int(train.shard(k).sample(i)["sequence"][0]) for k in (0, 1) for i in range(train.sizes[k])}
    assert numbers == set(range(len(names[0])))
    assert told[-1][0] == told[-1][1] and [t[0] for t in told] == sorted(t[0] for t in told)
    assert not (tmp_path / PARTS).exists()


def test_virtual_points_fulfil_the_truth(tmp_path, sequences):
    prepare_correspondences(sequences[:1], {"train": 1.0}, Target(tmp_path), OPTIONS)
    sample = ShardSet(tmp_path, "train").shard(0).sample(0)
    tx, ty, tz = sample["t"]
    E = np.array([[0, -tz, ty], [tz, 0, -tx], [-ty, tx, 0]]) @ sample["R"]
    one = np.ones((400, 1))
    first, second = (np.concatenate([sample["virtual"][:, k : k + 2], one], 1) for k in (0, 2))
    assert np.abs(np.einsum("ij,jk,ik->i", second, E, first)).max() < 1e-5


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, sequences):
    broken = replace(sequences[1], wall=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare_correspondences([sequences[0], broken], {"train": 1.0}, Target(tmp_path), OPTIONS)
    assert not (tmp_path / "train.json").exists()
    told = []
    prepare_correspondences(sequences[:2], {"train": 1.0}, Target(tmp_path), OPTIONS, report=told.append)
    assert sequences[0].opened == ["wall0", "wall1", "wall1"]
    assert ShardSet(tmp_path, "train").sizes == [8]
    assert [line.split(":")[0] for line in told] == ["1 of 2 sequences were made before", "wall1"]


def test_other_options_start_again(tmp_path, sequences):
    keys = {Part(tmp_path, s, o).key for s in sequences for o in (OPTIONS, replace(OPTIONS, seed=1))}
    assert len(keys) == 6


def test_the_same_command_gives_the_same_files(tmp_path, sequences):
    for name in ("a", "b"):
        prepare_correspondences(sequences[:2], {"val": 1.0}, Target(tmp_path / name), OPTIONS)
    first, second = (json.loads((tmp_path / name / "val.json").read_text()) for name in ("a", "b"))
    assert first == second


def test_processes_give_the_same(tmp_path, wall_folder):
    folders = [SourceSequence(wall_folder(tmp_path / f"w{k}", 4, k)) for k in range(2)]
    for workers in (1, 2):
        out = Target(tmp_path / f"out{workers}")
        prepare_correspondences(folders, {"train": 1.0}, out, OPTIONS, workers=workers)
    one, two = (ShardSet(tmp_path / f"out{n}", "train").index for n in (1, 2))
    assert one == two and one.meta["sequences"] == ["w0", "w1"]


def test_no_pairs_says_why(tmp_path, sequences):
    options = replace(OPTIONS, least_true=10_000)
    with pytest.raises(DatasetError, match=r"train: 0 pairs for 1 shards(?s:.*)wall0: 0 pairs of 5 images"):
        prepare_correspondences(sequences[:1], {"train": 1.0}, Target(tmp_path), options)
    assert not (tmp_path / "train.json").exists()


def test_a_source_given_twice(tmp_path, sequences):
    with pytest.raises(ConfigurationError, match="given twice"):
        prepare_correspondences([sequences[0]] * 2, {"train": 1.0}, Target(tmp_path), OPTIONS)


def test_a_process_that_fails_ends_the_run(tmp_path, wall_folder):
    good = SourceSequence(wall_folder(tmp_path / "good", 4))
    bad = SourceSequence(wall_folder(tmp_path / "bad", 4))
    (tmp_path / "bad" / "poses.txt").write_text("nothing\n")
    with pytest.raises(DatasetError, match=r"bad/poses.txt"):
        prepare_correspondences([bad, good], {"train": 1.0}, Target(tmp_path / "out"), OPTIONS, workers=2)


def test_what_is_there_is_not_replaced_unasked(tmp_path, sequences):
    prepare_correspondences(sequences[:1], {"train": 1.0}, Target(tmp_path), OPTIONS)
    with pytest.raises(ConfigurationError, match="--force"):
        prepare_correspondences(sequences[:2], {"train": 1.0}, Target(tmp_path), OPTIONS)
    prepare_correspondences(sequences[:2], {"train": 1.0}, Target(tmp_path, force=True), OPTIONS)
    assert ShardSet(tmp_path, "train").index.meta["sequences"] == ["wall0", "wall1"]


@pytest.mark.parametrize("words", ["", "training", "train=0", "train=x", "train=0.5,train=0.5", "train=inf"])
def test_splits_that_cannot_be(words):
    with pytest.raises(ConfigurationError, match="expected a split"):
        parse_split(words)


def test_shares_are_of_whole_sequences():
    assert parse_split("val") == {"val": 1.0}
    assert divide(3, {"val": 1.0}) == {"val": [0, 1, 2]}
    shares = parse_split("train=8,val=1,test=1")
    divided = divide(30, shares, seed=3)
    assert [len(part) for part in divided.values()] == [23, 3, 4]
    assert sorted(itertools.chain(*divided.values())) == list(range(30))
    assert divide(30, shares, seed=3) == divided != divide(30, shares, seed=4)
    assert all(divide(3, shares).values())
    with pytest.raises(ConfigurationError, match="2 sequences cannot be divided into train, val, test"):
        divide(2, shares)


def test_oanet_there_and_back(tmp_path, sequences):
    """Written as OANet's file, read by the reader of OANet's files, converted: the same pairs."""
    for form in ("shards", "oanet"):
        target = Target(tmp_path / form, format=form)
        prepare_correspondences(sequences[:1], {"val": 1.0}, target, OPTIONS)
    count = convert_oanet(tmp_path / "oanet" / "val.hdf5", "val", Target(tmp_path / "back"))
    ours, back = (ShardSet(tmp_path / name, "val").shard(0) for name in ("shards", "back"))
    assert count == 4
    for k in range(4):
        a, b = ours.sample(k), back.sample(k)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], atol=2e-6 if name == "virtual" else 0)
    with OANetFile(tmp_path / "oanet" / "val.hdf5") as file:
        first, _ = file.cameras(0)
    assert first.tolist() == [[150, 0, 99.5], [0, 150, 74.5], [0, 0, 1]]


def test_published_files_are_converted(tmp_path, goldens):
    path = goldens / "one_to_one" / "fixture_datasets" / "01_datasets" / "yfcc-sift-2000-train.hdf5"
    told = []
    count = convert_oanet(path, "train", Target(tmp_path, shards=4), lambda *a: told.append(a[:2]))
    shards = ShardSet(tmp_path, "train")
    with OANetFile(path) as file:
        assert count == len(file) == sum(shards.sizes) and told[-1] == (count, count)
        # Shard k of S holds k, k + S, ...: as in the published sets.
        sample, pair = shards.shard(1).sample(1), file[5]
    assert np.array_equal(sample["xs"], pair.points) and np.array_equal(sample["ratios"], pair.ratios)
    assert "research only" in shards.index.meta["licences"][0]


def damaged(path, change):
    """A file of three pairs, of which one was changed."""
    pairs = [
        {
            "xs": np.zeros((4, 4)), "ys": np.zeros(4), "ratios": np.ones(4), "mutuals": np.ones(4),
            "R": np.eye(3), "t": np.array([1.0, 0, 0]), "cameras": np.ones((2, 4)),
        }
        for _ in range(3)
    ]  # fmt: skip
    change(pairs[1])
    write_oanet(({name: np.asarray(v, np.float32) for name, v in pair.items()} for pair in pairs), path)
    return path


def test_published_pairs_of_nothing_are_left_out_and_named(tmp_path):
    empty = {name: np.zeros((0, 4) if name == "xs" else 0) for name in VARYING}
    path, told = damaged(tmp_path / "a.hdf5", lambda pair: pair.update(empty)), []
    assert convert_oanet(path, "val", Target(tmp_path), report=told.append) == 2
    assert "pair 1 has no correspondences" in told[0]


@pytest.mark.parametrize("name", ["xs", "R", "t", "ratios"])
def test_published_numbers_that_are_none(tmp_path, name):
    path = damaged(tmp_path / "a.hdf5", lambda pair: pair.update({name: pair[name] * np.nan}))
    with pytest.raises(DatasetError, match="pair 1 has numbers that are not finite"):
        convert_oanet(path, "val", Target(tmp_path))
    assert not (tmp_path / "val.json").exists()


def test_too_few_pairs_for_the_shards(tmp_path, sequences):
    target = Target(tmp_path / "oanet", format="oanet")
    prepare_correspondences(sequences[:1], {"val": 1.0}, target, OPTIONS)
    with pytest.raises(DatasetError, match="4 pairs for 9 shards"):
        convert_oanet(target.file("val"), "val", Target(tmp_path, shards=9))
