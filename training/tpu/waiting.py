"""Asking again with growing pauses, with an end and a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from relpose_training.tpu.failures import RETRIED, TpuError

Say = Callable[[str], None]


class Clock:
    """The time; tests have their own."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Patience:
    """Pauses of `first_s`, twice that, ... at most `longest_s`; no try after `limit_s` (all in seconds)."""

    limit_s: float = 86400.0
    first_s: float = 30.0
    longest_s: float = 600.0
    clock: Clock = field(default_factory=Clock)

    def pause(self, number: int) -> float:
        """Seconds to wait after try `number` (the first is 1)."""
        return float(min(self.first_s * 2 ** min(number - 1, 30), self.longest_s))


def persist(attempt: Callable[[int], None], patience: Patience, say: Say) -> None:
    """Call `attempt(number)` until it succeeds.

    Errors that pass by themselves (no capacity, rate, faults of the service) are tried again; others, a
    quota among them, are raised at once. Raises TpuError with the last reason when time is up.
    """
    clock = patience.clock
    end = clock.now() + patience.limit_s
    number = 1
    while True:
        try:
            attempt(number)
            return
        except TpuError as error:
            pause = patience.pause(number)
            if error.kind not in RETRIED:
                raise
            if clock.now() + pause > end:
                hours = patience.limit_s / 3600
                raise TpuError(
                    f"{error}\ngiven up after {number} tries in {hours:.3g} h", error.kind
                ) from None
            say(f"try {number}: {error}; next try in {duration(pause)}")
        clock.sleep(pause)
        number += 1


def duration(seconds: float) -> str:
    """As `90 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
