"""Batches loaded ahead by a thread: reading and copying go on while the device computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

_END = object()

PATIENCE = 60.0
"""Seconds that closing waits for an item; a source that hangs must not keep the process for ever."""


def loaded_ahead(batches: Iterable[T], count: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, up to `count` of them made before they are asked for.

    What the thread raises is raised here. The thread ends when this iterator is closed or collected, which
    waits for the item that it is making: the interpreter must not end under a thread that is inside torch
    (the process would be aborted).
    """
    ready: queue.Queue[Any] = queue.Queue(count)
    stopped = threading.Event()
    thread = threading.Thread(target=_fill, args=(batches, ready, stopped), daemon=True, name="loader")
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        if threading.current_thread() is not thread:
            thread.join(PATIENCE)


def _fill(batches: Iterable[Any], ready: queue.Queue[Any], stopped: threading.Event) -> None:
    try:
        for item in batches:
            if not _put((item, None), ready, stopped):
                return
        _put((_END, None), ready, stopped)
    except BaseException as error:  # noqa: BLE001 (it is raised again where the batches are used)
        _put((None, error), ready, stopped)


def _put(entry: tuple[Any, BaseException | None], ready: queue.Queue[Any], stopped: threading.Event) -> bool:
    """Wait for room, but not for ever: nobody may want any more. Returns whether it was put."""
    while not stopped.is_set():
        try:
            ready.put(entry, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
