"""Writing HDF5 shards: samples in, one contiguous data set a field out, the index last."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import DatasetError
from relpose_ros.progress import Progress, silent
from relpose_training.data.shards import FORMAT, OFFSETS, ShardEntry, ShardIndex


def write_shards(
    samples: Iterable[Mapping[str, NDArray[Any]]],
    folder: str | Path,
    split: str,
    shards: int,
    varying: Iterable[str] = (),
    meta: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    total: int = 0,
) -> ShardIndex:
    """Write samples to `shards` files in `folder`; shard k gets samples k, k + shards, and so on.

    Every sample has the same keys and types; fields named in `varying` may differ in their first axis. Needs
    memory for one sample at a time. Raises DatasetError for samples that differ or are too few.
    """
    folder = Path(folder)
    if shards < 1:
        raise DatasetError(f"{split}: expected one shard or more, got {shards}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{split}.", dir=folder) as temporary:
        writers = [_ShardWriter(Path(temporary) / f"{k:04d}", frozenset(varying)) for k in range(shards)]
        count = 0
        for count, sample in enumerate(samples, 1):
            writers[(count - 1) % shards].add(sample)
            progress(count, total, f"{split}: sample {count}")
        if count < shards:
            raise DatasetError(
                f"{split}: expected at least one sample for each of {shards} shards, got {count}"
            )
        (folder / f"{split}.json").unlink(missing_ok=True)  # it would describe shards that are replaced now
        entries = tuple(
            writer.finish(folder / f"{split}_{k:04d}.h5", split) for k, writer in enumerate(writers)
        )
    index = {"format": FORMAT, "shards": [vars(e) for e in entries], "meta": dict(meta or {})}
    part = folder / f".{split}.json"
    part.write_text(json.dumps(index, indent=1))
    os.replace(part, folder / f"{split}.json")
    return ShardIndex(entries, dict(meta or {}))


class _ShardWriter:
    """Appends to one plain file a field, and makes an HDF5 file of them at the end."""

    def __init__(self, folder: Path, varying: frozenset[str]) -> None:
        folder.mkdir()
        self.folder, self.varying = folder, varying
        self.shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self.lengths: dict[str, list[int]] = {}
        self.samples = 0

    def add(self, sample: Mapping[str, NDArray[Any]]) -> None:
        for name, value in sample.items():
            value = np.asarray(value, order="C")  # ascontiguousarray would give a number an axis
            shape = value.shape[1:] if name in self.varying else value.shape
            known = self.shapes.setdefault(name, (shape, value.dtype))
            if known != (shape, value.dtype) or (self.samples and name not in self.lengths):
                raise DatasetError(
                    f"sample {self.samples}: {name} is {shape} {value.dtype}, before it was {known}"
                )
            self.lengths.setdefault(name, []).append(len(value) if name in self.varying else 1)
            with (self.folder / name).open("ab") as file:
                file.write(value.tobytes())
        self.samples += 1
        if any(len(lengths) != self.samples for lengths in self.lengths.values()):
            raise DatasetError(f"sample {self.samples - 1} lacks one of {sorted(self.lengths)}")

    def finish(self, path: Path, split: str) -> ShardEntry:
        import h5py

        part = self.folder / "shard.h5"
        with h5py.File(part, "w") as file:
            file.attrs["format"], file.attrs["split"], file.attrs["samples"] = FORMAT, split, self.samples
            for name, (shape, dtype) in self.shapes.items():
                rows = sum(self.lengths[name])
                values = np.memmap(self.folder / name, dtype, "r", shape=(rows, *shape)) if rows else ()
                stored = file.create_dataset(name, (rows, *shape), dtype)
                for start in range(0, rows, 65536):
                    stored[start : start + 65536] = values[start : start + 65536]
                if name in self.varying:
                    file[name + OFFSETS] = np.concatenate([[0], np.cumsum(self.lengths[name])]).astype(
                        np.int64
                    )
        os.replace(part, path)
        return ShardEntry(path.name, self.samples, path.stat().st_size, sha256_of(path))
