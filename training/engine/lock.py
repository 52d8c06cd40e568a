"""One process, or one group of processes, in one output folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from relpose_ros.errors import ConfigurationError

LOCK = ".lock"


@contextmanager
def folder_lock(folder: Path, wanted: bool = True) -> Iterator[None]:
    """Hold `folder` (made if need be) for this process; the kernel lets go when the process dies.

    Without `wanted` (processes of a group but the first) nothing is held. A folder that was made here and in
    which nothing was written is gone afterwards, if an error ended it.

    Raises ConfigurationError if another process holds it.
    """
    if not wanted:
        yield
        return
    made = _make(folder)
    with _locked(folder / LOCK) as file:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        except BaseException:
            _remove_unused(made, folder / LOCK)
            raise


def _make(folder: Path) -> list[Path]:
    """The folders that had to be made, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_unused(made: list[Path], lock: Path) -> None:
    if not made or [path.name for path in lock.parent.iterdir()] != [lock.name]:
        return
    lock.unlink()
    for folder in made:
        if any(folder.iterdir()):
            return
        folder.rmdir()


def _locked(path: Path) -> TextIO:
    """The lock's file, held; it is the one of that name (another process may just have removed it)."""
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise ConfigurationError(
                f"{path.parent}: another run (process {holder}) writes here; "
                "wait for it, stop it, or choose another out="
            ) from None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()
