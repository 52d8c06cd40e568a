"""Parts of a data set, one for each source or world: made one after the other or in several processes, and
not again where they are there already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Protocol

from relpose_ros.progress import Progress, silent
from relpose_training.data.worker_processes import die_with_the_parent

STEPS = 1000
"""Progress of one part."""


class Part(Protocol):
    """One part; it is sent to another process as it is."""

    @property
    def name(self) -> str:
        """Of what it is made."""
        ...

    def done(self) -> bool:
        """Whether it was made before."""
        ...

    def make(self, progress: Progress = silent) -> None:
        """Make it; afterwards it is done, before it is not."""
        ...

    def sentence(self) -> str:
        """What it holds, once it is done."""
        ...


def make_parts(
    parts: Sequence[Part], workers: int, progress: Progress, report: Callable[[str], None]
) -> None:
    """Make the parts that are missing; `report` gets a line for each."""
    missing = [part for part in parts if not part.done()]
    if len(missing) < len(parts):
        report(f"{len(parts) - len(missing)} of {len(parts)} sequences were made before")
    if workers > 1 and len(missing) > 1:
        _make_in_processes(missing, workers, progress, report)
        return
    for done, part in enumerate(missing):
        part.make(within(progress, done, len(missing)))
        _tell(part, done + 1, len(missing), progress, report)


def within(progress: Progress, before: int, parts: int) -> Progress:
    """The progress of one of several parts as part of the whole."""

    def update(done: int, total: int, stage: str = "", /) -> None:
        progress(round(STEPS * (before + done / max(total, 1))), STEPS * parts, stage)

    return update


def _make_in_processes(
    parts: Sequence[Part], workers: int, progress: Progress, report: Callable[[str], None]
) -> None:
    context = get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=die_with_the_parent) as pool:
        running = {pool.submit(part.make): part for part in parts}
        try:
            for done, future in enumerate(as_completed(running), 1):
                future.result()
                _tell(running[future], done, len(parts), progress, report)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tell(part: Part, done: int, total: int, progress: Progress, report: Callable[[str], None]) -> None:
    progress(done * STEPS, total * STEPS, part.name)
    report(f"{part.name}: {part.sentence()}")
