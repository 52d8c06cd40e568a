"""The first 512 bytes of a map file: what it is, how long it is, and where its table lies.

They are HDF5's user block, which HDF5 leaves alone. `relmap VERSION SIZE TABLE_OFFSET TABLE_SHA256`,
then zeros. The table (maps/table.py) ends the file; every block that it lists has a checksum there.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from relpose_ros.errors import MapError
from relpose_ros.maps.table import Table, table_of

MAGIC = "relmap"
SCHEMA_VERSION = 2
SEAL_BYTES = 512
"""The smallest user block that HDF5 allows."""


def seal(path: Path) -> None:
    """Append the table to an HDF5 file that begins with `SEAL_BYTES` of room, and write the seal."""
    content = table_of(path).to_bytes()
    with path.open("r+b") as file:
        offset = file.seek(0, os.SEEK_END)
        file.write(content)
        file.seek(0)
        file.write(_text(offset + len(content), offset, hashlib.sha256(content).hexdigest()))
        file.flush()
        os.fsync(file.fileno())


def _text(size: int, offset: int, digest: str) -> bytes:
    return f"{MAGIC} {SCHEMA_VERSION} {size} {offset} {digest}\n".encode().ljust(SEAL_BYTES, b"\0")


def schema_version(path: Path, handle: int) -> int:
    """The version that an open file's seal names. Raises MapError unless it is a map we can read."""
    found = os.pread(handle, SEAL_BYTES, 0)
    magic, version, *_ = [*found.split(b" ", 2), b"", b""]
    if magic != MAGIC.encode():
        kind = "an HDF5 file" if found.startswith(b"\x89HDF") else "an empty file" if not found else "a file"
        raise MapError(f"{path}: {kind}, but not a relpose map; expected one made by `relpose map build`")
    if version.isdigit() and int(version) > SCHEMA_VERSION:
        raise MapError(
            f"{path}: schema version {int(version)}, but this software reads up to {SCHEMA_VERSION}; "
            "update relpose_ros or rebuild the map with this version"
        )
    if not version.isdigit() or int(version) < 1:
        raise damaged(path)
    return int(version)


def read_table(path: Path, handle: int) -> Table:
    """The table of an open file of the present version. Raises MapError if it is damaged or truncated."""
    found, size = os.pread(handle, SEAL_BYTES, 0), os.fstat(handle).st_size
    words = found.split(b"\0", 1)[0].split()
    if len(words) != 5 or not (words[2].isdigit() and words[3].isdigit()):
        raise damaged(path)
    offset = int(words[3])
    if int(words[2]) != size or not SEAL_BYTES <= offset < size:
        raise damaged(path)
    content = os.pread(handle, size - offset, offset)
    if found != _text(size, offset, hashlib.sha256(content).hexdigest()):
        raise damaged(path)
    return Table.from_bytes(content, size)


def check_version_1(path: Path, handle: int) -> None:
    """Raise MapError unless a file of version 1 is whole: its seal has the SHA-256 of all behind it."""
    found = os.pread(handle, SEAL_BYTES, 0)
    with open(os.dup(handle), "rb") as file:
        file.seek(SEAL_BYTES)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if found != f"{MAGIC} 1 {digest}\n".encode().ljust(SEAL_BYTES, b"\0"):
        raise damaged(path)


def damaged(path: Path, where: str = "") -> MapError:
    """The error for a file whose content is not what was written."""
    part = f" ({where})" if where else ""
    return MapError(
        f"{path}: checksum does not match{part}, the file is damaged or truncated; copy it again or "
        "rebuild it"
    )
