"""Do the stamps of a camera run forward?"""

from __future__ import annotations

from dataclasses import dataclass

JUMP_NS = 500_000_000
"""A step back by more than this is a jump of time (a bag loop, a new simulation), not disorder."""


@dataclass(frozen=True)
class Verdict:
    """Why an image is refused (or the empty string), and whether time has jumped back."""

    problem: str = ""
    jumped_back: bool = False


class StampCheck:
    """Remembers the newest stamp (nanoseconds)."""

    def __init__(self) -> None:
        self._newest: int | None = None

    def check(self, stamp_ns: int) -> Verdict:
        """Judge the next stamp and remember it if it is accepted."""
        if stamp_ns <= 0:
            return Verdict("the image has no time stamp; a pose without time is of no use: mend the driver")
        newest = self._newest
        if newest is not None and newest - JUMP_NS <= stamp_ns <= newest:
            late = 1e-9 * (newest - stamp_ns)
            return Verdict(f"the image's stamp is {late:.3f} s before that of the image before it")
        self._newest = stamp_ns
        return Verdict(jumped_back=newest is not None and stamp_ns < newest)
