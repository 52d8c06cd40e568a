"""Published correspondence files: read as they are, refused when they are not what they claim to be."""

from __future__ import annotations

import os
import pickle

import h5py
import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_training.data.oanet_hdf5 import CAMERA_GROUPS, PAIR_GROUPS, OANetFile
from relpose_training.data.pickled_sets import read_set, read_shard, shard_paths


def published(seed, count):
    """One pair as OANet stores it."""
    rng = np.random.default_rng(seed)
    arrays = {
        "xs": rng.normal(size=(1, count, 4)),
        "ys": rng.random((count, 1)),
        "ratios": rng.random(count),
        "mutuals": np.ones(count),
        "Rs": np.eye(3),
        "ts": np.array([[0.0], [0.6], [0.8]]),
    }
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def write_hdf5(path, pairs, cameras=CAMERA_GROUPS):
    with h5py.File(path, "w") as file:
        for name in PAIR_GROUPS:
            for i, pair in enumerate(pairs):
                file[f"{name}/{i}"] = pair[name]
        for name in cameras:
            for i in range(len(pairs)):
                file[f"{name}/{i}"] = np.array([[500.0, 510.0]] if name[0] == "f" else [320.0], np.float32)
    return path


def write_shard(path, pairs):
    columns = [[pair[name] for pair in pairs] for name in PAIR_GROUPS]
    path.write_bytes(pickle.dumps(columns))
    return path


PAIRS = [published(i, 5 + i) for i in range(5)]


def test_an_hdf5_file_is_a_sequence(tmp_path):
    with OANetFile(write_hdf5(tmp_path / "a.hdf5", PAIRS)) as file:
        assert len(file) == 5 and [len(pair) for pair in file] == [5, 6, 7, 8, 9]
        pair, (first, second) = file[2], file.cameras(2)
    assert np.array_equal(pair.points, PAIRS[2]["xs"][0])
    assert np.array_equal(pair.direction, PAIRS[2]["ts"][:, 0])
    assert first.tolist() == second.tolist() == [[500, 0, 320], [0, 510, 320], [0, 0, 1]]


def test_features_have_width_four_or_six(tmp_path):
    with OANetFile(write_hdf5(tmp_path / "a.hdf5", PAIRS)) as file:
        pair = file[0]
    assert pair.features(6).shape == (5, 6) and np.array_equal(pair.features(4), pair.points)
    assert np.array_equal(pair.features(6)[:, 4], pair.ratios)
    with pytest.raises(DatasetError, match="not 5"):
        pair.features(5)


def test_a_file_without_a_group_is_refused(tmp_path):
    path = write_hdf5(tmp_path / "a.hdf5", PAIRS, CAMERA_GROUPS[1:])
    with pytest.raises(DatasetError, match=r"cx1s.*None"):
        OANetFile(path)


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    (tmp_path / "a.hdf5").write_bytes(b"nothing")
    for name in ("a.hdf5", "missing.hdf5"):
        with pytest.raises(DatasetError, match="cannot be read"):
            OANetFile(tmp_path / name)


def test_a_pair_of_another_shape_is_named(tmp_path):
    wrong = {**PAIRS[1], "ys": PAIRS[1]["ys"][:-1]}
    with (
        OANetFile(write_hdf5(tmp_path / "a.hdf5", [PAIRS[0], wrong])) as file,
        pytest.raises(
            DatasetError, match=r"pair 1: ys has shape \(5, 1\); expected numbers of shape \(6, 1\)"
        ),
    ):
        file[1]


def test_shards_take_turns(tmp_path):
    for shard in range(2):
        write_shard(tmp_path / f"val_{shard:04d}.pkl", PAIRS[shard::2])
    write_shard(tmp_path / "train_0000.pkl", PAIRS[:1])
    assert [p.name for p in shard_paths(tmp_path, "val")] == ["val_0000.pkl", "val_0001.pkl"]
    assert [len(pair) for pair in read_set(tmp_path, "val")] == [5, 6, 7, 8, 9]


def test_a_gap_between_shards_is_refused(tmp_path):
    write_shard(tmp_path / "val_0001.pkl", PAIRS)
    for split in ("val", "test"):
        with pytest.raises(DatasetError, match="without a gap"):
            shard_paths(tmp_path, split)


def test_shards_of_different_sets_are_refused(tmp_path):
    write_shard(tmp_path / "val_0000.pkl", PAIRS[:1])
    write_shard(tmp_path / "val_0001.pkl", PAIRS)
    with pytest.raises(DatasetError, match="not of one set"):
        list(read_set(tmp_path, "val"))


@pytest.mark.parametrize("content", [[], [[]] * 5, {"xs": []}, [[1], [], [], [], [], []], [[1]] * 6])
def test_a_shard_of_another_layout_is_refused(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError, match="expected"):
        read_shard(tmp_path / "a.pkl")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_shard_is_refused_and_runs_nothing(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([[Hostile(tmp_path / "ran")]] * 6))
    with pytest.raises(DatasetError, match="refused"):
        read_shard(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()
