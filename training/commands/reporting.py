"""What a person, or the log of a cluster's job, sees of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relpose_ros.cli.progress import progress_bar
from relpose_ros.progress import Progress, silent
from relpose_training.commands.progress import progress_line


@contextmanager
def training_progress(is_main: bool) -> Iterator[Progress]:
    """A bar with the time left on a terminal, a line now and then elsewhere; one process of a group talks."""
    if not is_main:
        yield silent
        return
    with progress_bar("training") if sys.stderr.isatty() else progress_line() as progress:
        yield progress


def say_result(folder: Path, status: int) -> None:
    """Where the weights are, and how good; or how to go on."""
    from relpose_ros.checkpoints.format import read_info
    from relpose_training.engine.results import BEST

    if status:
        print(f"{folder}: stopped by SIGTERM, the state is saved; the same command goes on", file=sys.stderr)
        return
    info = read_info(folder / BEST) if (folder / BEST).exists() else None
    if info is None:
        print(f"{folder}: done; no validation gave a number, so there is no {BEST}")
        return
    numbers = ", ".join(f"{name} {value:.6g}" for name, value in info.metrics.items())
    print(f"{folder / BEST}: {numbers} ({info.origin.rpartition(', ')[2]})")
