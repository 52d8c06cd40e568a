"""Shards: what is written is read, what is broken is named."""

from __future__ import annotations

import json
import pickle

import fsspec
import h5py
import numpy as np
import pytest

from relpose_ros.errors import DatasetError, DependencyError
from relpose_training.data.shard_dataset import ShardDataset
from relpose_training.data.shard_writer import write_shards
from relpose_training.data.shards import ShardSet


def samples(count=10):
    rng = np.random.default_rng(0)
    for n in range(count):
        yield {
            "xs": rng.normal(size=(n % 4, 3)).astype(np.float32),
            "R": np.eye(3, dtype=np.float32) * n,
            "n": np.array(n, np.int32),
        }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RELPOSE_SHARD_CACHE", str(tmp_path / "cache"))
    write_shards(samples(), tmp_path / "data", "train", 3, varying=["xs"], meta={"source": "test"})
    return tmp_path / "data"


def same(a, b):
    return a.keys() == b.keys() and all(
        np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype and a[k].shape == b[k].shape for k in a
    )


def test_what_is_written_is_read(folder):
    shards = ShardSet(folder, "train")
    assert shards.sizes == [4, 3, 3]
    assert shards.index.meta == {"source": "test"}
    shards.verify(range(3))
    for number, sample in enumerate(samples()):
        assert same(shards.shard(number % 3).sample(number // 3), sample)
    assert sorted(p.name for p in folder.iterdir()) == [
        "train.json",
        *(f"train_{k:04d}.h5" for k in range(3)),
    ]


def test_a_sample_is_a_copy(folder):
    shard = ShardSet(folder, "train").shard(0)
    shard.sample(1)["R"][:] = 99
    assert shard.sample(1)["R"].max() == 3


def test_shards_travel_to_loading_processes_unopened(folder):
    shards = ShardSet(folder, "train")
    shards.shard(0)
    again = pickle.loads(pickle.dumps(shards))  # noqa: S301
    assert not again._open
    assert same(again.shard(1).sample(0), shards.shard(1).sample(0))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_shard_is_read_by_one_process(folder, world):
    shards = ShardSet(folder, "train")
    parts = [shards.of_rank(rank, world) for rank in range(world)]
    assert sorted(n for part in parts for n in part) == [0, 1, 2]
    assert all(parts)


def test_too_few_shards_say_how_many_are_needed(folder):
    with pytest.raises(DatasetError, match="3 shards for 4 processes; prepare it again with at least 4"):
        ShardSet(folder, "train").of_rank(0, 4)


def test_a_missing_split_and_a_missing_shard_are_named(folder):
    with pytest.raises(DatasetError, match=r"test\.json: not there.*`--split` says so"):
        ShardSet(folder, "test")
    (folder / "train_0001.h5").unlink()
    shards = ShardSet(folder, "train")
    shards.shard(0)
    with pytest.raises(DatasetError, match=r"train_0001\.h5.*cannot be had"):
        shards.shard(1)


@pytest.mark.parametrize("left", [0, 10, 2000])
def test_a_truncated_shard_is_named(folder, left):
    path = folder / "train_0002.h5"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DatasetError, match=rf"train_0002\.h5 is truncated: {left} bytes of \d+"):
        ShardSet(folder, "train").shard(2)


def test_a_flipped_bit_is_found_before_training(folder):
    ShardDataset(ShardSet(folder, "train"), [0, 1, 2])
    path = folder / "train_0001.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"train_0001\.h5 is corrupted"):
        ShardDataset(ShardSet(folder, "train"), [0, 1, 2])
    ShardDataset(ShardSet(folder, "train"), [0, 2])


def test_a_shard_that_was_checked_is_not_read_again(folder, monkeypatch):
    shards = ShardSet(folder, "train")
    shards.verify(range(3))
    monkeypatch.setattr("relpose_training.data.shard_store.sha256_of", lambda _: pytest.fail("read again"))
    shards.verify(range(3))


def test_a_foreign_file_is_refused(folder):
    entry = json.loads((folder / "train.json").read_text())["shards"][0]

    def read(write):
        path = folder / "train_0000.h5"
        write(path)
        shards = [{**entry, "bytes": path.stat().st_size}]
        index = {"format": "relpose.shards/1", "meta": {}, "shards": shards}
        (folder / "train.json").write_text(json.dumps(index))
        with pytest.raises(DatasetError, match=r"train_0000\.h5: expected") as error:
            ShardSet(folder, "train").shard(0)
        return str(error.value)

    def foreign(path):
        with h5py.File(path, "w") as file:
            file["xs"] = np.zeros(3)

    def another(path):
        path.write_bytes((folder / "train_0001.h5").read_bytes())

    assert "cannot read it" in read(lambda path: path.write_bytes(b"no HDF5 at all"))
    assert "cannot read it" in read(foreign)
    assert "found another" in read(another)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "relpose.shards/9", "shards": []}', '{"format": 3']
)
def test_a_foreign_index_is_refused(folder, text):
    (folder / "train.json").write_text(text)
    with pytest.raises(DatasetError, match=r"train\.json: expected"):
        ShardSet(folder, "train")


@pytest.fixture
def bucket(folder):
    """The same split in fsspec's memory."""
    files = fsspec.filesystem("memory")
    root = f"/{folder.parent.name}"
    files.put(str(folder), root, recursive=True)
    yield files, f"memory:/{root}"
    files.rm(root, recursive=True)


def test_a_bucket_is_read_like_a_folder_and_once(bucket, folder, monkeypatch):
    files, url = bucket
    near, far = ShardSet(folder, "train"), ShardSet(url, "train")
    far.verify(range(3))
    assert same(near.shard(1).sample(2), far.shard(1).sample(2))
    monkeypatch.setattr(files, "get_file", lambda *_: pytest.fail("fetched again"))
    assert same(near.shard(1).sample(2), ShardSet(url, "train").shard(1).sample(2))


def test_data_that_is_prepared_again_is_not_taken_from_the_cache(bucket, folder):
    files, url = bucket
    ShardSet(url, "train").shard(0)
    write_shards(({"n": np.array(9)} for _ in range(4)), folder, "train", 1)
    for path in folder.iterdir():
        files.put_file(str(path), f"{url.removeprefix('memory:/')}/{path.name}")
    assert ShardSet(url, "train").shard(0).sample(0)["n"] == 9


@pytest.mark.parametrize(
    ("break_it", "message"),
    [(lambda c: c[:-1], "truncated"), (lambda c: c[:-1] + b"?", "corrupted"), (None, "cannot be had")],
)
def test_a_broken_shard_of_a_bucket_is_named_and_not_kept(bucket, break_it, message, tmp_path):
    files, url = bucket
    path = f"{url.removeprefix('memory:/')}/train_0000.h5"
    if break_it is None:
        files.rm(path)
    else:
        files.pipe_file(path, break_it(files.cat_file(path)))
    with pytest.raises(DatasetError, match=rf"train_0000\.h5.*{message}"):
        ShardSet(url, "train").shard(0)
    assert not list((tmp_path / "cache").glob("*.h5"))


def test_file_addresses_are_folders(folder):
    assert ShardSet(f"file://{folder}", "train").shard(2).sample(0)["n"] == 2


def test_an_unknown_kind_of_address_is_refused(monkeypatch):
    with pytest.raises((DatasetError, DependencyError), match="nosuch://"):
        ShardSet("nosuch://bucket/data", "train")


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"a": np.zeros(2)}, {"a": np.zeros(3)}], {}, r"a is \(3,\) float64, before it was"),
        ([{"a": np.zeros(2)}, {"a": np.zeros(2, int)}], {}, "a is .* int64"),
        ([{"a": np.zeros(2), "b": np.zeros(1)}, {"a": np.zeros(2)}], {}, "lacks one of"),
        ([{"a": np.zeros(2)}, {"a": np.zeros(2), "b": np.zeros(1)}], {}, "b is"),
        ([{"a": np.zeros(2)}], {"shards": 2}, "at least one sample for each of 2 shards, got 1"),
        ([], {}, "got 0"),
        ([{"a": np.zeros(2)}], {"shards": 0}, "one shard or more"),
    ],
)
def test_samples_that_do_not_fit_are_refused_and_leave_no_split(tmp_path, rows, options, message):
    with pytest.raises(DatasetError, match=message):
        write_shards(rows, tmp_path, "train", **{"shards": 1, **options})
    assert not list(tmp_path.iterdir())


def test_a_split_that_is_written_over_is_never_half_of_each(folder):
    """The old index goes first: whoever reads in between is told that the split is not there."""

    def failing():
        yield {"n": np.array(1)}
        raise KeyboardInterrupt

    before = (folder / "train.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_shards(failing(), folder, "train", 1)
    assert (folder / "train.json").read_bytes() == before
    assert same(ShardSet(folder, "train").shard(0).sample(0), next(samples()))
