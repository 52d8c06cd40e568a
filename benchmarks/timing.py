"""Wall-clock times of alternatives, taken in turns so that whatever else runs hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """Milliseconds of ours and of the straightforward version called `versus`."""

    stage: str
    ours: float
    versus: str
    plain: float
    note: str = ""


def race(
    contestants: Mapping[str, Callable[[], Any]],
    repeats: int = 7,
    patience: float = 4.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median milliseconds of each function.

    All are called once to warm up, then in turns: `repeats` rounds, fewer (but at least three)
    when they have taken more than `patience` seconds by then. `clock`: `time.process_time` for
    processor time, which other processes add less to.
    """
    for function in contestants.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    begin = time.perf_counter()
    for done in range(repeats):
        if done >= 3 and time.perf_counter() - begin > patience:
            break
        for name, function in contestants.items():
            start = clock()
            function()
            times[name].append(1e3 * (clock() - start))
    return {name: float(np.median(values)) for name, values in times.items()}
