"""Images of several cameras, sorted by when they were taken: one moment, one query."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from relpose_ros.nodes.stamps import JUMP_NS

Item = TypeVar("Item")

MISSES = 3
"""After so many moments without it in a row a camera is not waited for, until it is in time again."""

WAITING = 20
"""Moments that wait at once, at most: cameras whose clocks differ never complete one."""

REMEMBERED = 20
"""Moments that are out, of which it is known how late an image comes for one."""


@dataclass
class Moment(Generic[Item]):
    """Items by camera, whose stamps (nanoseconds) differ by less than a tolerance. `since`: when it began to
    wait."""

    since: float = 0.0
    items: dict[str, Item] = field(default_factory=dict)
    stamps: dict[str, int] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The earliest stamp."""
        return min(self.stamps.values())

    def span_with(self, stamp_ns: int) -> int:
        """How far stamps differ if this one is among them."""
        stamps = [*self.stamps.values(), stamp_ns]
        return max(stamps) - min(stamps)


class Moments(Generic[Item]):
    """Collects one item of each camera in `names`; not thread-safe.

    Items belong together whose stamps span at most `tolerance` seconds. A moment is given out when all
    cameras are in it, or `patience` seconds after its first item came. A camera that has missed `MISSES` in a
    row, unplugged or always too late, is not waited for until it is in a moment again, or would have been had
    one waited: its item came less than `patience` after the first. Moments come out in the order of their
    stamps, each item at most once. What comes for a moment that is out already is dropped; `late` counts it
    by camera, and `superseded` the moments that a newer one overtook.
    """

    def __init__(self, names: Sequence[str], tolerance: float, patience: float) -> None:
        self._names, self._patience = tuple(names), patience
        self._tolerance = round(1e9 * tolerance)
        self.late: Counter[str] = Counter()
        self.superseded = 0
        self.forget()

    def forget(self) -> None:
        """Time has jumped back, or begins anew."""
        self._waiting: list[Moment[Item]] = []
        self._last: Moment[Item] | None = None
        self._past: deque[Moment[Item]] = deque(maxlen=REMEMBERED)
        self._missed: Counter[str] = Counter()
        self._delay: dict[str, tuple[float, int]] = {}  # and how many it had missed then

    def add(self, name: str, stamp_ns: int, item: Item, now: float) -> list[Moment[Item]]:
        """Take an item of camera `name`; the moments that are ready. `now` in seconds that never run back."""
        if self._is_late(name, stamp_ns):
            self.late[name] += 1
            self._learn_delay(name, stamp_ns, now)
            return self.ready(now)
        moment = self._moment_for(name, stamp_ns, now)
        moment.items[name], moment.stamps[name] = item, stamp_ns
        return self.ready(now)

    def ready(self, now: float) -> list[Moment[Item]]:
        """Those that are complete or have waited long enough, oldest first."""
        found = []
        for moment in sorted(self._waiting, key=lambda m: m.first):
            if self._is_complete(moment) or now - moment.since >= self._patience:
                self._give_out(moment)
                found.append(moment)
        return found

    def missing(self, moment: Moment[Item]) -> list[str]:
        """Cameras that are not in it."""
        return [name for name in self._names if name not in moment.items]

    def delay(self, name: str) -> float | None:
        """Seconds after the first item of a moment that those of a camera come that is not waited for.

        None where it is waited for, or nothing comes from it.
        """
        missed, (delay, before) = self._missed[name], self._delay.get(name, (0.0, -MISSES))
        return delay if missed >= MISSES and missed - before < MISSES else None

    def _learn_delay(self, name: str, stamp_ns: int, now: float) -> None:
        """How long after the first item of its moment, which is out, this one has come."""
        fitting = [m for m in self._past if name not in m.stamps and m.span_with(stamp_ns) <= self._tolerance]
        if not fitting:
            return
        delay = now - min(fitting, key=lambda m: m.span_with(stamp_ns)).since
        self._delay[name] = delay, self._missed[name]
        if delay < self._patience:
            self._missed[name] = 0

    def _is_late(self, name: str, stamp_ns: int) -> bool:
        last = self._last
        if last is None or stamp_ns < last.first - JUMP_NS:
            return False  # of a clock that is far behind: a moment of its own
        newest = max(last.stamps.values())
        return stamp_ns <= newest or (name not in last.items and last.span_with(stamp_ns) <= self._tolerance)

    def _moment_for(self, name: str, stamp_ns: int, now: float) -> Moment[Item]:
        fitting = [
            moment
            for moment in self._waiting
            if name not in moment.items and moment.span_with(stamp_ns) <= self._tolerance
        ]
        if fitting:
            return min(fitting, key=lambda m: m.span_with(stamp_ns))
        self._waiting.append(Moment(now))
        if len(self._waiting) > WAITING:
            del self._waiting[0]
            self.superseded += 1
        return self._waiting[-1]

    def _is_complete(self, moment: Moment[Item]) -> bool:
        return all(name in moment.items or self._missed[name] >= MISSES for name in self._names)

    def _give_out(self, moment: Moment[Item]) -> None:
        """It is the newest from here on: older ones that still wait are overtaken."""
        old = [m for m in self._waiting if 0 < moment.first - m.first <= JUMP_NS]
        self.superseded += len(old)
        self._waiting = [m for m in self._waiting if m is not moment and all(m is not o for o in old)]
        self._last = moment
        self._past.append(Moment(moment.since, stamps=moment.stamps))  # without items, which are large
        self._missed.update(self.missing(moment))
        for name in moment.items:
            self._missed[name] = 0
