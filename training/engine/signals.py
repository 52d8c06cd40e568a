"""SIGTERM, which a scheduler or a cloud sends before it takes the machine away."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Termination:
    """`with Termination() as asked: ... asked.came`: SIGTERM sets it instead of ending the process.

    In a thread that is not the main one (some TPUs run a thread a core) signals stay as they are.
    """

    def __init__(self) -> None:
        self.came = False
        self._before: Any = None

    def __enter__(self) -> Termination:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
