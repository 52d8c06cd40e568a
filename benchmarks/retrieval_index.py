"""Exact search against the HNSW graph: why `EXACT_LIMIT` is where it is.

    python -m benchmarks retrieval_index --sizes 10000 100000 --dimension 256

Clustered synthetic descriptors (20 views a place). One query at a time, as on a robot; all ratios
within one run on one machine. `straightforward` is a Python loop over references in blocks of one,
timed on a tenth of the references and scaled.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import describe_machine, markdown
from relpose_ros.retrieval.index import EXACT_LIMIT, DescriptorIndex

Floats = NDArray[np.float32]
VIEWS_PER_PLACE = 20
HEADER = (
    "references", "exact ms", "graph ms", "exact/graph", "loop/exact", "recall", "build s", "exact MB",
    "graph MB", "graph pays after",
)  # fmt: skip


def clustered(count: int, dimension: int, queries: int, seed: int = 0) -> tuple[Floats, Floats]:
    """References (count, D) and queries (queries, D) of the same places, L2-normalised."""
    generator = np.random.default_rng(seed)
    places = generator.standard_normal((count // VIEWS_PER_PLACE + 1, dimension), np.float32)
    references = np.repeat(places, VIEWS_PER_PLACE, axis=0)[:count]
    seen = places[generator.integers(0, len(places), queries)]
    rows = [
        values + 0.5 * generator.standard_normal(values.shape, np.float32) for values in (references, seen)
    ]
    references, asked = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in rows)
    return references, asked


def timed(index: DescriptorIndex, queries: Floats, k: int) -> tuple[float, NDArray[np.int64]]:
    """Median milliseconds of one query, and all answers (Q, k)."""
    index.search(queries[:1], k)
    spent, answers = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(index.search(query, k)[0][0])
        spent.append(time.perf_counter() - start)
    return 1e3 * float(np.median(spent)), np.stack(answers)


def loop_milliseconds(references: Floats, query: Floats) -> float:
    """What a Python loop over the references would take for one query."""
    part = references[: max(1, len(references) // 10)]
    start = time.perf_counter()
    sorted(range(len(part)), key=lambda i: -float(part[i] @ query))
    return 1e3 * (time.perf_counter() - start) * len(references) / len(part)


def resident_megabytes() -> float:
    """Memory of this process (Linux; NaN elsewhere)."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS")), float("nan"))


def measure(size: int, dimension: int, queries: int, k: int) -> list[object]:
    """One row of the table."""
    references, asked = clustered(size, dimension, queries)
    exact = DescriptorIndex(references, exact_limit=size)
    exact_ms, truth = timed(exact, asked, k)
    before, start = resident_megabytes(), time.perf_counter()
    graph = DescriptorIndex(references, exact_limit=0)
    build, memory = time.perf_counter() - start, resident_megabytes() - before
    graph_ms, found = timed(graph, asked, k)
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(truth, found, strict=True)])
    won = exact_ms - graph_ms
    return [
        size,
        f"{exact_ms:.2f}",
        f"{graph_ms:.2f}",
        f"{exact_ms / graph_ms:.1f}",
        f"{loop_milliseconds(references, asked[0]) / exact_ms:.0f}",
        f"{recall:.3f}",
        f"{build:.1f}",
        f"{references.nbytes / 1e6:.0f}",
        f"{memory:.0f}",
        f"{1e3 * build / won:.0f} queries" if won > 0 else "never",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("-k", type=int, default=10)
    options = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    print(f"D = {options.dimension}, k = {options.k}, {options.queries} queries, one at a time\n")
    rows = [measure(size, options.dimension, options.queries, options.k) for size in options.sizes]
    print(f"{markdown(HEADER, rows)}\n")
    print("graph pays after: queries until the time won per query has paid for building the graph")
    print(f"EXACT_LIMIT is {EXACT_LIMIT}: below it one exact search fits into a 30 Hz frame, loses nothing,")
    print("needs no faiss and no build")


if __name__ == "__main__":
    main()
