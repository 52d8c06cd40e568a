"""The table of a map file: where every byte of every dataset lies, and its checksum.

HDF5 is how other programs see a map. We find the datasets by this table instead: a block is read
when it is wanted, at its place in the file, and checked on its own, and no byte is given to the HDF5
library, which can crash on a damaged file. What lies between the datasets (HDF5's own bookkeeping) is
listed too, so every byte of a file belongs to some block.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

BLOCK = np.dtype([("offset", "<i8"), ("size", "<i8"), ("crc", "<u4")])
INFLATION = 50
"""A map may be so many times as large in memory as its file: features hardly compress, bombs do."""
_DEFLATED = 1100
"""Deflated bytes hold at most 1032 times as many, and a little."""
BLOCK_BYTES = 1 << 14
"""Bytes of a block, about: what one wanted row costs to read and check."""


@dataclass(frozen=True)
class StoredArray:
    """One dataset: blocks `first` to `first + count` of the table hold `rows` rows each.

    `packing` is "" for plain bytes, "gzip" for deflated and shuffled ones (HDF5's filters).
    """

    dtype: str
    shape: tuple[int, ...]
    rows: int
    packing: str
    first: int
    count: int

    def check(self, name: str, sizes: NDArray[np.int64]) -> None:
        """Raise ValueError unless the blocks, of `sizes` in the file, can hold so much."""
        dtype, numbers = np.dtype(self.dtype), (*self.shape, self.rows, self.first, self.count)
        if dtype.kind not in "biufS" or not all(type(n) is int and n >= 0 for n in numbers) or self.rows < 1:
            raise ValueError(f"{name}: no array of numbers or text")
        row = math.prod(self.row_shape) * dtype.itemsize
        count = (self.shape[0] if self.shape else 1) if row else 0
        own = sizes[self.first : self.first + self.count]
        if len(own) != self.count or self.count != -(-count // self.rows):
            raise ValueError(f"{name}: {self.count} blocks for {count} rows")
        most = own * _DEFLATED if self.packing else own
        if any(min(count, self.rows) * row > block for block in most[:-1].tolist()) or (
            count * row > int(most.sum())
        ):
            raise ValueError(f"{name}: {count * row} bytes claimed, {int(own.sum())} there")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.shape[1:]


@dataclass(frozen=True)
class Table:
    """Datasets by name, and all blocks of the file (structured as BLOCK): from `others` on, of no dataset."""

    arrays: dict[str, StoredArray]
    blocks: NDArray[np.void]
    others: int

    def to_bytes(self) -> bytes:
        """A line of JSON, then the blocks."""
        arrays = {name: asdict(array) for name, array in self.arrays.items()}
        return json.dumps({"arrays": arrays, "others": self.others}).encode() + b"\n" + self.blocks.tobytes()

    @classmethod
    def from_bytes(cls, content: bytes, size: int) -> Table:
        """What `to_bytes` made of a file of `size` bytes.

        Raises ValueError, KeyError or TypeError for anything else, and for datasets that are larger than
        their blocks could hold: whoever reads them takes memory for what is claimed.
        """
        text, _, blocks = content.partition(b"\n")
        read = json.loads(text)
        arrays = {n: StoredArray(**{**a, "shape": tuple(a["shape"])}) for n, a in read["arrays"].items()}
        table = cls(arrays, np.frombuffer(blocks, BLOCK), int(read["others"]))
        if not 0 <= table.others <= len(table.blocks):
            raise ValueError(f"{table.others} of {len(table.blocks)} blocks are of datasets")
        offset, length = table.blocks["offset"], table.blocks["size"]
        if ((offset < 0) | (length < 0) | (offset > size) | (length > size - offset)).any():
            raise ValueError("a block lies outside of the file")
        for name, array in arrays.items():
            array.check(name, length[: table.others])
        claimed = sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in arrays.values())
        if claimed > INFLATION * size:
            raise ValueError(f"{claimed} bytes claimed by a file of {size}")
        return table

    def checksums(self, name: str) -> list[int]:
        """CRC-32 of each block of a dataset."""
        stored = self.arrays[name]
        return [int(c) for c in self.blocks["crc"][stored.first : stored.first + stored.count]]


def rows_per_block(row_bytes: int) -> int:
    """Rows that make a block of about BLOCK_BYTES."""
    return max(1, BLOCK_BYTES // max(1, row_bytes))


def table_of(path: Path) -> Table:
    """The table of an HDF5 file that nothing else is writing to."""
    import h5py

    arrays: dict[str, StoredArray] = {}
    places: list[tuple[int, int]] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found = _layout(item)
            if found is not None:
                rows, packing, where = found
                arrays[name] = StoredArray(item.dtype.str, item.shape, rows, packing, len(places), len(where))
                places.extend(where)

    with h5py.File(path, "r") as file:
        start = file.userblock_size
        file.visititems(visit)
    others = len(places)
    places += _gaps(places, start, path.stat().st_size)
    blocks = np.zeros(len(places), BLOCK)
    if places:
        blocks["offset"], blocks["size"] = np.array(places, np.int64).T
    with path.open("rb") as raw:
        blocks["crc"] = [zlib.crc32(os.pread(raw.fileno(), size, offset)) for offset, size in places]
    return Table(arrays, blocks, others)


def _layout(item: h5py.Dataset) -> tuple[int, str, list[tuple[int, int]]] | None:
    """Rows of a block, packing, and (offset, size) of the blocks; None where we could not read it."""
    if item.dtype.hasobject:
        return None
    if item.size == 0:
        return 1, "", []
    if item.chunks is None:
        return _plain_layout(item)
    packed = item.compression == "gzip" and item.shuffle
    if not packed or item.chunks[1:] != item.shape[1:]:
        return None
    found: list[tuple[int, int, int]] = []
    item.id.chunk_iter(lambda c: found.append((c.chunk_offset[0], c.byte_offset, c.size)))
    return item.chunks[0], "gzip", [(offset, size) for _, offset, size in sorted(found)]


def _plain_layout(item: h5py.Dataset) -> tuple[int, str, list[tuple[int, int]]] | None:
    start = item.id.get_offset()
    if start is None:
        return None
    count = item.shape[0] if item.shape else 1
    row = item.nbytes // count
    rows = rows_per_block(row)
    return rows, "", [(start + i * row, min(rows, count - i) * row) for i in range(0, count, rows)]


def _gaps(places: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    return [(a, b - a) for a, b in _holes(sorted(places), start, end) if b > a]


def _holes(places: list[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    for offset, size in places:
        yield start, offset
        start = offset + size
    yield start, end


def blocks_checksum(values: NDArray[Any]) -> list[int]:
    """CRC-32 of each block that a plain dataset of these rows (N, D) will have."""
    rows = rows_per_block(values[:1].nbytes)
    return [zlib.crc32(values[i : i + rows].tobytes()) for i in range(0, len(values), rows)]
