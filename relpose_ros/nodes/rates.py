"""How often things happen: events per second over the last seconds, for diagnostics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from relpose_ros.nodes.health import Health


class Rates:
    """Notes `<event> per second` of counted events, over at most `window` seconds.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        health: Health,
        events: Sequence[str],
        window: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._health, self._events, self._window, self._clock = health, events, window, clock
        self._seen: deque[tuple[float, list[int]]] = deque()

    def note(self) -> None:
        """Look at the counts once; from the second look on there are rates."""
        now, counts = self._clock(), [self._health.counted(event) for event in self._events]
        self._seen.append((now, counts))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self._window:
            self._seen.popleft()
        began, before = self._seen[0]
        if now > began:
            for event, count, first in zip(self._events, counts, before, strict=True):
                self._health.note(f"{event} per second", f"{(count - first) / (now - began):.1f}")
