"""One process, or one group of processes, in one output folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relpose_ros.errors import ConfigurationError


@contextmanager
def folder_lock(folder: Path, wanted: bool = True) -> Iterator[None]:
    """Hold `folder` (made if need be) for this process; the kernel lets go when the process dies.

    Without `wanted` (processes of a group but the first) nothing is held.

    Raises ConfigurationError if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not wanted:
        yield
        return
    path = folder / ".lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigurationError(
                f"{folder}: another run (process {file.read().strip() or 'unknown'}) writes here; "
                "wait for it, stop it, or choose another out="
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
