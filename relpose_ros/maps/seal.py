"""The first 512 bytes of a map file: what it is, and the SHA-256 of everything behind them.

They are HDF5's user block, which HDF5 leaves alone. The seal is checked before the HDF5 library
sees the file, because that library can crash on a damaged one, and a flipped bit may lie where
it does not look.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from relpose_ros.errors import MapError

MAGIC = "relmap"
SCHEMA_VERSION = 1
SEAL_BYTES = 512
"""The smallest user block that HDF5 allows."""


def seal(path: Path) -> None:
    """Write the seal of a file that begins with `SEAL_BYTES` of room."""
    with path.open("r+b") as file:
        file.seek(SEAL_BYTES)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        file.write(_text(digest))
        file.flush()
        os.fsync(file.fileno())


def _text(digest: str) -> bytes:
    return f"{MAGIC} {SCHEMA_VERSION} {digest}\n".encode().ljust(SEAL_BYTES, b"\0")


def check_seal(path: Path) -> None:
    """Raise MapError unless the file is whole: HDF5 itself may crash on a damaged one."""
    with path.open("rb") as file:
        found = file.read(SEAL_BYTES)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    magic, version, *_ = [*found.split(b" ", 2), b"", b""]
    if magic != MAGIC.encode():
        kind = "an HDF5 file" if found.startswith(b"\x89HDF") else "an empty file" if not found else "a file"
        raise MapError(f"{path}: {kind}, but not a relpose map; expected one made by `relpose map build`")
    if version.isdigit() and int(version) > SCHEMA_VERSION:
        raise MapError(
            f"{path}: schema version {int(version)}, but this software reads up to {SCHEMA_VERSION}; "
            "update relpose_ros or rebuild the map with this version"
        )
    if found != _text(digest):
        raise MapError(
            f"{path}: checksum does not match, the file is damaged or truncated; copy it again or rebuild it"
        )
