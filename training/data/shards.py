"""Training data as HDF5 shards, N per split, in a folder or a bucket; each device reads its own.

A shard holds one contiguous, uncompressed data set per field, so that a sample is a slice of a mapped file.
Fields of varying length (the correspondences of a pair) are stored end to end, with offsets. The file
`<split>.json` lists the shards with their sizes and sha256, and is written last: no half split is ever read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.progress import Progress, silent
from relpose_training.data.shard_store import default_cache, local_copy, read_text, verify

FORMAT = "relpose.shards/1"
OFFSETS = "_offsets"

Sample = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ShardEntry:
    """One line of the index."""

    file: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """What `<split>.json` says."""

    shards: tuple[ShardEntry, ...]
    meta: Mapping[str, Any]


class ShardSet:
    """The shards of one split, opened as they are asked for; safe to send to loading processes.

    `url` is a folder, or a bucket that fsspec knows (gs://, s3://, memory://): its shards are then copied to
    `cache` (default: $RELPOSE_SHARD_CACHE, or a temporary folder) once. Raises DatasetError if the split is
    not there, and, naming the shard, if one is missing, truncated, corrupted or of another kind.
    """

    def __init__(self, url: str | Path, split: str, cache: str | Path | None = None) -> None:
        self.url, self.split = str(url).rstrip("/"), split
        self._cache = Path(cache) if cache else default_cache()
        self.index = self._read_index()
        self._open: dict[int, Shard] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    @property
    def sizes(self) -> list[int]:
        """Samples in each shard."""
        return [entry.samples for entry in self.index.shards]

    def of_rank(self, rank: int, world: int) -> list[int]:
        """The shards that process `rank` of `world` reads. Raises DatasetError if there are too few."""
        if len(self.sizes) < world:
            raise DatasetError(
                f"{self.url}: {self.split} has {len(self.sizes)} shards for {world} processes; "
                f"prepare it again with at least {world}"
            )
        return list(range(rank, len(self.sizes), world))

    def verify(self, shards: Iterable[int], progress: Progress = silent) -> None:
        """Compare the sha256 of these shards with the index. Raises DatasetError naming a corrupted one.

        A shard that was compared on this machine before, and has not changed since, is not read again.
        """
        numbers = list(shards)
        for done, number in enumerate(numbers):
            entry = self.index.shards[number]
            verify(self._local(number), entry.sha256, f"{self.url}/{entry.file}", self._cache)
            progress(done + 1, len(numbers), f"checking {entry.file}")

    def shard(self, number: int) -> Shard:
        """One shard, opened once in each process."""
        if number not in self._open:
            self._open[number] = Shard(self._local(number), self.index.shards[number])
        return self._open[number]

    def _read_index(self) -> ShardIndex:
        where = f"{self.url}/{self.split}.json"
        try:
            content = json.loads(read_text(where))
            if content["format"] != FORMAT:
                raise DatasetError(f"{where}: expected format {FORMAT}, got {content['format']!r}")
            return ShardIndex(tuple(ShardEntry(**entry) for entry in content["shards"]), content["meta"])
        except FileNotFoundError:
            raise DatasetError(
                f"{where}: not there; `relpose prepare` makes shards, and writes this file last. "
                f"It makes the split {self.split!r} if `--split` says so: train=0.8,val=0.2, or {self.split}"
            ) from None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DatasetError(f"{where}: expected an index of shards, cannot read it: {error!r}") from None

    def _local(self, number: int) -> Path:
        """The shard as a file of this machine."""
        entry = self.index.shards[number]
        return local_copy(f"{self.url}/{entry.file}", entry.sha256, entry.bytes, self._cache)


class Shard:
    """One open shard: samples are slices of a mapped file, read when they are used."""

    def __init__(self, path: Path, entry: ShardEntry) -> None:
        import h5py

        self.path = path
        try:
            with h5py.File(path, "r") as file:
                if file.attrs["format"] != FORMAT or int(file.attrs["samples"]) != entry.samples:
                    raise DatasetError(
                        f"{path}: expected the shard of {entry.samples} samples that the index describes, "
                        "found another; prepare the data again"
                    )
                names = [name for name in file if not name.endswith(OFFSETS)]
                self._fields = {name: mapped(path, file[name]) for name in names}
                self._offsets = {name: file[name + OFFSETS][()] for name in names if name + OFFSETS in file}
        except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path}: expected a shard, cannot read it: {error}") from None

    def column(self, name: str) -> NDArray[Any]:
        """A field of constant length of all samples. Raises DatasetError if there is no such field."""
        if name not in self._fields or name in self._offsets:
            raise DatasetError(f"{self.path}: expected a field {name!r} of constant length, there is none")
        return np.array(self._fields[name])

    def sample(self, number: int) -> Sample:
        """All fields of one sample, copied."""
        return {
            name: np.array(values[self._offsets[name][number] : self._offsets[name][number + 1]])
            if name in self._offsets
            else np.array(values[number])
            for name, values in self._fields.items()
        }


def mapped(path: Path, dataset: Any) -> NDArray[Any]:
    """The values of a contiguous data set without reading them."""
    start = dataset.id.get_offset()
    if start is None or not dataset.size:
        return np.asarray(dataset[()])
    return np.memmap(path, dataset.dtype, "r", offset=start, shape=dataset.shape)
