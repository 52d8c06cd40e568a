"""What is wrong: in diagnostics while it lasts, in the log once when it begins and once when it ends."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from relpose_ros.nodes.health import Health, Level, without_numbers

QUIET = 60.0
"""Seconds for which the same line is not logged again, though the problem came back."""

REMEMBERED = 200
"""Lines that are remembered, the newest, so that problems in ever new words do not fill the memory."""


class Complaints:
    """Reports problems to `health` and `logger`. Thread-safe. `clock` gives monotonic seconds."""

    def __init__(
        self, health: Health, logger: Any, clock: Callable[[], float] = time.monotonic, quiet: float = QUIET
    ) -> None:
        self._health, self._logger, self._clock, self._quiet = health, logger, clock, quiet
        self._lock = threading.Lock()
        self._current: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self._said_at: dict[str, float] = {}

    def report(self, topic: str, level: Level, text: str, seconds: float = 5.0) -> None:
        """There is a problem; it is over after `seconds` unless reported again."""
        self._health.problem(topic, level, text, seconds)
        line = f"{topic}: {without_numbers(text)}"
        with self._lock:
            if self._current.get(topic) == line:
                return
            if not self._may_say(line):
                return
            self._current[topic], self._logged[topic] = line, text
        # Two lines: rclpy raises where one line of code logs at two severities.
        if level is Level.ERROR:
            self._logger.error(text)
        else:
            self._logger.warning(text)

    def mention(self, topic: str, text: str) -> None:
        """Something happened that is no problem."""
        with self._lock:
            if not self._may_say(f"{topic}: {without_numbers(text)}"):
                return
        self._logger.info(text)

    def solved(self, topic: str) -> None:
        """The problem is over."""
        self._health.solved(topic)
        with self._lock:
            self._current.pop(topic, None)
            text = self._logged.pop(topic, None)
        if text is not None:
            self._logger.info(f"over: {text}")

    def check(self) -> None:
        """Say which problems are over because nobody reported them again."""
        with self._lock:
            topics = set(self._current)
        for topic in topics - self._health.problems():
            self.solved(topic)

    def _may_say(self, line: str) -> bool:
        """Whether the line may be logged, which is remembered; called with the lock."""
        now, said_at = self._clock(), self._said_at
        if now - said_at.get(line, -math.inf) < self._quiet:
            return False
        said_at.pop(line, None)  # the order is that of time
        said_at[line] = now
        if len(said_at) > REMEMBERED:
            del said_at[next(iter(said_at))]
        return True
