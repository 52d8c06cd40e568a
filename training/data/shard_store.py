"""Shards as files of this machine: found in a folder, or brought once from a bucket; checked once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import DatasetError, DependencyError


def default_cache() -> Path:
    """Where copies of shards are kept: $RELPOSE_SHARD_CACHE, or a folder of the system's temporary one."""
    return Path(os.environ.get("RELPOSE_SHARD_CACHE") or Path(tempfile.gettempdir()) / "relpose-shards")


def read_text(address: str) -> str:
    """A small file in a folder or a bucket.

    Raises FileNotFoundError, OSError, or DependencyError if fsspec lacks the package for this bucket.
    """
    files, path = _file_system(address)
    with files.open(path, "rt") as file:
        return str(file.read())


def local_copy(address: str, sha256: str, size: int, cache: Path) -> Path:
    """The file at `address`, on this machine. What comes from a bucket is named by its sha256 and checked.

    Raises DatasetError naming a shard that is missing, truncated or corrupted.
    """
    if "://" not in address:
        return _checked_size(Path(address), size, address)
    path = cache / f"{sha256}.h5"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Several processes may fetch the same one: each to a name of its own, the last rename wins.
        part = cache / f".{sha256}.{os.getpid()}"
        files, source = _file_system(address)
        try:
            files.get_file(source, str(part))
            _checked_size(part, size, address)
            _check_sha256(part, sha256, address)
            part.replace(path)
        except OSError as error:
            raise DatasetError(_missing(address, error)) from None
        finally:
            part.unlink(missing_ok=True)
    return _checked_size(path, size, address)


def verify(path: Path, sha256: str, address: str, cache: Path) -> None:
    """Compare a file with its sha256; the same file is not read again by later runs.

    Raises DatasetError if it is corrupted.
    """
    facts = path.stat()
    seen = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
    note = cache / "verified" / sha256
    if note.is_file() and seen in note.read_text().splitlines():
        return
    _check_sha256(path, sha256, address)
    note.parent.mkdir(parents=True, exist_ok=True)
    with note.open("a") as file:
        file.write(f"{seen}\n")


def _check_sha256(path: Path, sha256: str, address: str) -> None:
    if sha256_of(path) != sha256:
        raise DatasetError(
            f"{address} is corrupted: its sha256 is not that of the index; copy it again, or prepare the "
            "data again"
        )


def _checked_size(path: Path, size: int, address: str) -> Path:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DatasetError(_missing(address, error)) from None
    if found != size:
        raise DatasetError(
            f"{address} is truncated: {found} bytes of {size}; copy it again, or prepare it again"
        )
    return path


def _missing(address: str, error: OSError) -> str:
    return f"{address}: the index names this shard, but it cannot be had: {error}"


def _file_system(address: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise DependencyError(f"{address}: {error}") from None
    except ValueError as error:
        raise DatasetError(f"{address}: expected a folder or a bucket that fsspec knows: {error}") from None
    return files, path
