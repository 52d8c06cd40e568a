"""Every stage against a straightforward version of itself, taken in turns in one run.

    python -m benchmarks stages [--source FOLDER] [--only STAGE ...]

Without --source on a simulated world, which needs no data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.report import describe_machine, markdown
from benchmarks.stage_rows import STAGES, Row
from benchmarks.workload import Workload, make_workload


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
        print(
            f"{work.name}: {len(work.map)} references, {len(work.map.landmarks)} landmarks; "
            f"a {work.frame.camera.width}x{work.frame.camera.height} query with {len(work.features)} features, "
            f"{len(work.candidates)} candidate landmarks, {len(work.seen)} tentative matches, "
            f"{int(work.solved.inliers.sum())} inliers\n"
        )
        rows = measure(work, args.only)
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
