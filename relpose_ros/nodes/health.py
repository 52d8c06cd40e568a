"""What a node has seen and what is wrong with it now: counters, ages and problems."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

MAX_COUNTERS = 60
"""Counters beyond this go to `other`: reasons in words must not fill the memory."""


class Level(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Problem:
    """Something wrong, until `expires` (monotonic seconds) unless reported again."""

    level: Level
    text: str
    expires: float


@dataclass(frozen=True)
class Report:
    """A snapshot: the worst level, one line in words, and key -> value."""

    level: Level
    text: str
    values: dict[str, str]


class Health:
    """Counts events, remembers when each happened last, and which problems are current.

    Thread-safe. `clock` gives monotonic seconds. `mood` is what is said while nothing is wrong.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last: dict[str, float] = {}
        self._values: dict[str, str] = {}
        self._problems: dict[str, Problem] = {}
        self.mood = "working"

    def count(self, event: str, reason: str = "") -> None:
        """Count `event`, or `event: reason` with the numbers in the reason left out."""
        key = f"{event}: {without_numbers(reason)}" if reason else event
        with self._lock:
            if key not in self._counts and len(self._counts) >= MAX_COUNTERS:
                key = f"{event}: other" if reason else "other"
            self._counts[key] += 1
            self._last[event] = self._clock()

    def counted(self, event: str) -> int:
        """How often `event` was counted, whatever the reason."""
        with self._lock:
            return sum(n for k, n in self._counts.items() if k == event or k.startswith(f"{event}: "))

    def problem(self, topic: str, level: Level, text: str, seconds: float = 5.0) -> None:
        """Report a problem; it is forgotten after `seconds` unless reported again."""
        with self._lock:
            self._problems[topic] = Problem(level, text, self._clock() + seconds)

    def solved(self, topic: str) -> None:
        """The problem is over."""
        with self._lock:
            self._problems.pop(topic, None)

    def problems(self) -> set[str]:
        """Topics of the problems that there are."""
        with self._lock:
            now = self._clock()
            return {topic for topic, p in self._problems.items() if p.expires > now}

    def note(self, key: str, value: object) -> None:
        """A value to show as it is; None: no more."""
        with self._lock:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = str(value)

    def report(self) -> Report:
        """What diagnostics should say now."""
        with self._lock:
            now = self._clock()
            self._problems = {k: p for k, p in self._problems.items() if p.expires > now}
            problems = sorted(self._problems.values(), key=lambda p: -p.level)
            values = dict(self._values)
            values |= {k: str(n) for k, n in self._counts.items()}
            values |= {f"seconds since {k}": f"{now - t:.1f}" for k, t in self._last.items()}
        level = problems[0].level if problems else Level.OK
        return Report(level, "; ".join(p.text for p in problems) or self.mood, values)


def without_numbers(reason: str) -> str:
    """Reasons that differ only in their numbers are one reason."""
    return re.sub(r"\d+(?:\.\d+)?", "#", reason)[:120]
