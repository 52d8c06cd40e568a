"""Reads the pickled "sets" of the one-to-one framework, made from OANet's files, without unpickling them.

Set k is a folder of shards `<split>_0000.pkl`, `<split>_0001.pkl`, ...; shard i of S holds the pairs
i, i + S, i + 2 S, ... Sets 0, 1 and 2 of YFCC100M have 1, 4 and 8 shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from relpose_ros.errors import DatasetError
from relpose_training.data.pair_correspondences import PairCorrespondences, pair_from_published
from relpose_training.data.pickled_arrays import parse_pickle

FIELDS = ("xs", "ys", "ratios", "mutuals", "Rs", "ts")


def shard_paths(folder: str | Path, split: str) -> list[Path]:
    """The shards of `split` (train, val or test), in order. Raises DatasetError if there is none or a gap."""
    folder = Path(folder)
    found = sorted(folder.glob(f"{split}_[0-9][0-9][0-9][0-9].pkl"))
    expected = [folder / f"{split}_{i:04d}.pkl" for i in range(len(found))]
    if not found or found != expected:
        raise DatasetError(
            f"{folder}: shards of {split!r}: {[p.name for p in found] or 'none'}; expected {split}_0000.pkl "
            "and so on without a gap; copy the missing ones"
        )
    return found


def read_shard(path: str | Path) -> list[PairCorrespondences]:
    """All pairs of one shard; it is held in memory whole. Raises DatasetError; never executes the pickle."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    columns = parse_pickle(data, str(path))
    if not isinstance(columns, list) or [type(c) for c in columns] != [list] * len(FIELDS):
        raise DatasetError(f"{path}: expected a list of six lists ({', '.join(FIELDS)}); it is no such shard")
    if len({len(c) for c in columns}) != 1:
        raise DatasetError(f"{path}: lists of {[len(c) for c in columns]} pairs; expected the same number")
    rows = zip(*columns, strict=True)
    return [
        pair_from_published(f"{path}, pair {i}", **dict(zip(FIELDS, row, strict=True)))
        for i, row in enumerate(rows)
    ]


def read_set(folder: str | Path, split: str) -> Iterator[PairCorrespondences]:
    """All pairs of a split in the order of the file that the set was made from."""
    shards = [read_shard(path) for path in shard_paths(folder, split)]
    for index in range(sum(map(len, shards))):
        shard, position = index % len(shards), index // len(shards)
        if position >= len(shards[shard]):
            sizes = [len(s) for s in shards]
            raise DatasetError(f"{folder}: {split!r} shards of {sizes} pairs are not of one set")
        yield shards[shard][position]
