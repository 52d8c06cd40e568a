"""An open map file: blocks read where and when they are wanted, each checked against its checksum.

Reads are positioned reads (pread), not a memory mapping. They have what a mapping is wanted for: nothing
is read before it is asked for, and the pages belong to the system's cache, which processes share and
which is given back under pressure. A mapped file that somebody truncates ends the process with SIGBUS;
a read of it comes back short, which is an error like any other. The open file stays what it was when
another is renamed to its name.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import MapError
from relpose_ros.maps.seal import damaged, read_table
from relpose_ros.maps.table import StoredArray

CACHE_BYTES = 64 << 20
"""Checked blocks kept in memory, at most."""


class BlockFile:
    """The datasets of a map file by name. Safe to use from several threads, and after a fork.

    Every method raises MapError for a block that is not what was written, KeyError for a name that
    the file lacks, OSError where the system cannot read.
    """

    def __init__(self, path: Path, handle: int) -> None:
        """`handle`: the file, opened for reading; it is closed with this object."""
        self.path = path
        self._handle = handle
        weakref.finalize(self, os.close, handle)
        self.table = read_table(path, handle)
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> StoredArray:
        return self.table.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.table.arrays

    def read(self, name: str) -> NDArray[Any]:
        """A whole dataset."""
        stored = self[name]
        if not stored.shape:
            return self._parse(stored, self._bytes(stored.first)).reshape(())
        return self.run(name, 0, stored.shape[0])

    def run(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows start <= i < stop, not kept in the cache."""
        stored = self[name]
        stop = min(stop, stored.shape[0])
        out = np.empty((max(0, stop - start), *stored.row_shape), stored.dtype)
        for block in range(start // stored.rows, -(-stop // stored.rows) if stop > start else 0):
            rows = self._parse(stored, self._bytes(self._number(stored, block)))
            begin = block * stored.rows
            low, high = max(start, begin), min(stop, begin + stored.rows)
            out[low - start : high - start] = rows[low - begin : high - begin]
        return out

    def rows(self, name: str, indices: NDArray[np.integer]) -> NDArray[Any]:
        """Rows at `indices` (M,), each from its block."""
        stored = self[name]
        out = np.empty((len(indices), *stored.row_shape), stored.dtype)
        if not len(indices):
            return out
        if indices.min() < 0 or indices.max() >= stored.shape[0]:
            raise IndexError(
                f"{name}: rows up to {stored.shape[0] - 1}, got {indices.min()}..{indices.max()}"
            )
        block, within = np.divmod(indices, stored.rows)
        order = np.argsort(block, kind="stable")
        ends = np.flatnonzero(np.diff(block[order])) + 1
        for chosen in np.split(order, ends):
            out[chosen] = self.block(name, int(block[chosen[0]]))[within[chosen]]
        return out

    def block(self, name: str, block: int) -> NDArray[Any]:
        """One block's rows, from the cache or the file; not to be written to."""
        stored = self[name]
        number = self._number(stored, block)
        with self._lock:
            found = self._cache.get(number)
            if found is not None:
                self._cache.move_to_end(number)
                return found
        rows = self._parse(stored, self._bytes(number))
        with self._lock:
            if number not in self._cache:
                self._cache[number] = rows
                self._cached += rows.nbytes
            while self._cached > CACHE_BYTES:
                _, oldest = self._cache.popitem(last=False)
                self._cached -= oldest.nbytes
        return rows

    def check_others(self) -> None:
        """Raise MapError unless what lies between the datasets is what was written."""
        for number in range(self.table.others, len(self.table.blocks)):
            self._bytes(number)

    def _number(self, stored: StoredArray, block: int) -> int:
        if not 0 <= block < stored.count:
            raise ValueError(f"block {block} of a dataset that has {stored.count}")
        return stored.first + block

    def _bytes(self, number: int) -> bytes:
        offset, size, checksum = self.table.blocks[number].tolist()
        content = os.pread(self._handle, size, offset)
        if len(content) != size or zlib.crc32(content) != checksum:
            raise damaged(self.path, f"at byte {offset}")
        return content

    def _inflated(self, content: bytes, size: int) -> bytes:
        """No more than it should be: a few bytes can be deflated gigabytes."""
        try:
            out = zlib.decompressobj().decompress(content, size + 1)
            if len(out) != size:
                raise ValueError(f"a block of {size} bytes is of another size")
        except (zlib.error, ValueError) as error:
            raise MapError(
                f"{self.path}: the parts of this map do not fit together ({error}); rebuild it"
            ) from error
        return out

    def _parse(self, stored: StoredArray, content: bytes) -> NDArray[Any]:
        dtype = np.dtype(stored.dtype)
        if stored.packing == "gzip":
            content = self._inflated(content, stored.rows * math.prod(stored.row_shape) * dtype.itemsize)
            # HDF5's shuffle: first bytes of all values, then second ones, and so on.
            planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
            content = np.ascontiguousarray(planes.T).tobytes()
        return np.frombuffer(content, dtype).reshape(-1, *stored.row_shape)
