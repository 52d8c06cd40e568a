"""A progress bar on stderr, where a person is watching."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from relpose_ros.progress import Progress, silent


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A function to call as `(done, total)` or `(done, total, stage)`; silent when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def update(done: int, total: int, stage: str = "", /) -> None:
            bar.update(task, completed=done, total=total or None, description=stage or what)

        yield update
