"""Worker processes must not outlive the process that they work for, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import threading


def die_with_the_parent() -> None:
    """Called in a worker: ends it when its parent ends.

    Python and torch look whether the process lives that forked the worker, but that is the fork server,
    and it lives as long as its workers do.
    """
    threading.Thread(target=_wait_for_the_parent, daemon=True).start()


def _wait_for_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
