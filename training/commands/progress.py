"""Where long work is and how long it will take: one line that is written over, or now and then a new one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from relpose_ros.progress import Progress

LINE_EVERY = 30.0
"""Seconds between lines where nobody watches (a log file); a terminal is updated ten times a second."""


@contextmanager
def progress_line(
    stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A function to call as `(done, total, stage)`; writes to `stream` (default: stderr)."""
    line = ProgressLine(stream or sys.stderr, clock)
    try:
        yield line
    finally:
        line.clear()


def say_line(line: str) -> None:
    """A line on stderr, in place of the progress that stands there."""
    print(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


class ProgressLine:
    """Share done, stage, time left."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self.stream, self.clock = stream, clock
        self.terminal = stream.isatty()
        self.started = self.shown = clock()
        self.first: int | None = None

    def __call__(self, done: int, total: int, stage: str = "", /) -> None:
        now = self.clock()
        if self.first is None:
            self.first = done
        if now - self.shown < (0.1 if self.terminal else LINE_EVERY):
            return
        self.shown = now
        text = f"{done / max(total, 1):4.0%}  {stage}"
        gone = done - self.first
        if gone > 0:
            text += f", {duration((now - self.started) * (total - done) / gone)} left"
        self.stream.write(f"\r\x1b[K{text}" if self.terminal else f"{text}\n")
        self.stream.flush()

    def clear(self) -> None:
        """Leave an empty line to the next text."""
        if self.terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def duration(seconds: float) -> str:
    """As `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
