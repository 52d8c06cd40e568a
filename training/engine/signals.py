"""SIGTERM, which a scheduler or a cloud sends before it takes the machine away."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType, TracebackType
from typing import Any

TERM = {signal.SIGTERM}
LOOK_EVERY = 0.05
"""Seconds between looks whether a process has died: fewer than one takes to start, so that none is missed."""


class Termination:
    """`with Termination() as asked: ... asked.came`: SIGTERM sets it instead of ending the process.

    In a thread that is not the main one signals stay as they are; there, `came` is whether SIGTERM waits,
    blocked (see `terminated_together`).
    """

    def __init__(self) -> None:
        self._came = False
        self._before: Any = None

    @property
    def came(self) -> bool:
        """Whether SIGTERM has come."""
        return self._came or signal.SIGTERM in signal.sigpending()

    def __enter__(self) -> Termination:
        if _in_main_thread():
            self._before = signal.signal(signal.SIGTERM, self._set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True


@contextmanager
def terminated_together() -> Iterator[None]:
    """For a process whose children do the work in threads: no Python code can handle a signal there.

    SIGTERM waits, blocked, in every process that is started meanwhile; one that only this process got is
    passed on. A child that dies takes the others along, as they would wait for it for ever. Outside the main
    thread nothing is done.
    """
    if not _in_main_thread():
        yield
        return
    resource_tracker.ensure_running()  # it would let SIGTERM through again
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handler = signal.signal(signal.SIGTERM, lambda *_: None)  # else a thread of BLAS may still die of it
    wakeup = signal.set_wakeup_fd(writer)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, TERM)
    over = threading.Event()
    shepherd = threading.Thread(target=_watch_children, args=(reader, over), daemon=True, name="shepherd")
    shepherd.start()
    try:
        yield
    finally:
        over.set()
        os.write(writer, b"\0")
        shepherd.join()
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(reader)
        os.close(writer)


def _watch_children(reader: int, over: threading.Event) -> None:
    """Python's own handlers wait until the main thread runs Python again; the pipe knows at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERM)
    children: set[Any] = set()
    told: set[Any] = set()
    asked = False
    while not over.is_set():
        if select.select([reader], [], [], LOOK_EVERY)[0]:
            asked |= signal.SIGTERM in os.read(reader, 64)
        children.update(multiprocessing.active_children())
        for child in children - told if asked else ():
            child.terminate()
            told.add(child)
        if any(child.exitcode for child in children):
            for child in children:
                child.kill()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
