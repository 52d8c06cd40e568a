"""How long work tells a person where it is. The command line shows a bar; the default is silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Called as work goes on: `done` of `total` steps of the stage of that name."""

    def __call__(self, done: int, total: int, stage: str = "", /) -> None:
        """Show it."""
        ...


def silent(done: int, total: int, stage: str = "", /) -> None:
    """Show nothing."""


def tracked(items: Sequence[T], progress: Progress, stage: str) -> Iterator[T]:
    """Yield the items, telling `progress` after each."""
    for done, item in enumerate(items):
        progress(done, len(items), stage)
        yield item
    progress(len(items), len(items), stage)
