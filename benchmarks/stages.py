"""Every stage against a straightforward version of itself, taken in turns in one run.

    python -m benchmarks stages [--source FOLDER] [--only STAGE ...]

Without --source on a simulated world, which needs no data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks import map_stages, query_stages
from benchmarks.report import describe_machine, markdown
from benchmarks.timing import Row
from benchmarks.workload import Workload, make_workload

STAGES: dict[str, Callable[[Workload], list[Row]]] = {
    "whole": query_stages.whole,
    "extraction": query_stages.extraction,
    "vlad": query_stages.vlad,
    "index": query_stages.index,
    "matching": query_stages.matching,
    "pnp": query_stages.pnp,
    "refinement": query_stages.refinement,
    "covariance": query_stages.covariance,
    "triangulation": map_stages.triangulation,
    "opening": map_stages.opening,
}
"""In the order of a frame's way through, then what only maps need."""


def measure(work: Workload, names: Sequence[str]) -> list[Row]:
    """All rows of the chosen stages, printed as they come."""
    rows = []
    # As in the localizer: its matrices are small, `benchmarks threads` shows why one thread.
    with threadpool_limits(limits=1, user_api="blas"):
        for name in names:
            rows += STAGES[name](work)
            print(f"<!-- {name} done -->", flush=True)
    return rows


def table(rows: Sequence[Row]) -> str:
    """Stage, what it is compared with, milliseconds of both, and how many times faster ours is."""
    header = ["stage", "ours ms", "straightforward version", "its ms", "its / ours", "note"]
    body = [
        [r.stage, f"{r.ours:.2f}", r.versus, f"{r.plain:.2f}", f"{r.plain / r.ours:.2f}", r.note]
        for r in rows
    ]
    return markdown(header, body)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks stages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, help="a posed-image source with queries (default: simulated)")
    parser.add_argument("--references", type=int, default=40, help="at most (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=8, help="at most (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), default=list(STAGES))
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = make_workload(args.source, args.references, args.queries, Path(folder))
        print(f"{work.describe()}\n", flush=True)
        rows = measure(work, args.only)
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
