"""BLAS with one thread and with two, while the other cores are idle and while they are busy.

    python -m benchmarks threads

Why the localizer limits BLAS to one thread: its matrices are small, and a thread that waits for
another which the scheduler has put aside waits longer than the product takes. A robot's cores are
busy with other things.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.report import describe_machine, markdown
from relpose_ros.evaluation.provenance import hardware
from relpose_ros.features.matching import nearest_neighbours

SIZES = ((500, 1000), (1500, 2000), (1500, 6000))
"""Features of a query, candidate landmarks."""


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy with other processes."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def percentiles(function: Callable[[], Any], threads: int, repeats: int) -> tuple[float, float]:
    """p50 and p95 in milliseconds with so many BLAS threads."""
    times = []
    with threadpool_limits(limits=threads, user_api="blas"):
        function()
        for _ in range(repeats):
            start = time.perf_counter()
            function()
            times.append(1e3 * (time.perf_counter() - start))
    p50, p95 = np.percentile(times, (50, 95))
    return float(p50), float(p95)


def measure(features: int, landmarks: int, others: int, repeats: int) -> list[object]:
    """One row of the table."""
    generator = np.random.default_rng(0)
    query, reference = (
        values / np.linalg.norm(values, axis=1, keepdims=True)
        for values in (generator.standard_normal((n, 64), np.float32) for n in (features, landmarks))
    )
    with busy(others):
        one, two = (percentiles(lambda: nearest_neighbours(query, reference), n, repeats) for n in (1, 2))
    times = [f"{p50:.1f}/{p95:.1f}" for p50, p95 in (one, two)]
    return [f"{features} x {landmarks}", others, *times, f"{two[0] / one[0]:.2f}", f"{two[1] / one[1]:.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks threads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    cores = hardware()["cores"]
    rows = [
        measure(features, landmarks, others, args.repeats)
        for features, landmarks in SIZES
        for others in sorted({0, max(cores - 1, 1), cores})
    ]
    header = ["matching", "busy cores", "1 thread ms, p50/p95", "2 threads ms", "two/one p50", "two/one p95"]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
