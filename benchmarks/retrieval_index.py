"""Ways to search up to a million global descriptors: why `DescriptorIndex` does what it does.

    python -m benchmarks retrieval_index --sizes 100000 1000000 --dimension 256

Clustered synthetic descriptors: 20 views a place, whose cosine is 1 / (1 + noise^2): 0.8 at the
default `--noise 0.5`, 0.5 at `--noise 1`, which is nearer to weak descriptors. Places are independent, so a
view's 20 neighbours are far from all others: real roads overlap gradually, and there the border of
the k nearest is less sharp. One query at a time, one thread, as on a robot; all ratios within one
run on one machine. Times are processor time (opening: wall), so that a busy machine does not distort
them much. Recall is the share of the exact k nearest that was found.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import describe_machine, markdown
from benchmarks.retrieval_methods import METHODS, Floats, Method, Search, best, centres_of
from relpose_ros.retrieval.index import EXACT_LIMIT

VIEWS_PER_PLACE = 20
RANKS = (1, 10, 20)
HEADER = (
    "method", "recall@1", "recall@10", "recall@20", "ms", "exact/this", "build s", "file MB", "open s",
    "memory MB",
)  # fmt: skip


def clustered(
    count: int, dimension: int, queries: int, seed: int = 0, noise: float = 0.5
) -> tuple[Floats, Floats]:
    """References (count, D) and queries (queries, D) of the same places, L2-normalised."""
    generator = np.random.default_rng(seed)
    places = generator.standard_normal((count // VIEWS_PER_PLACE + 1, dimension), np.float32)
    seen = places[generator.integers(0, len(places), queries)]
    references = np.empty((count, dimension), np.float32)
    for start in range(0, count, 1 << 16):  # in parts: a million rows are made without three copies
        part = references[start : start + (1 << 16)]
        part[:] = places[np.arange(start, start + len(part)) // VIEWS_PER_PLACE]
        part += np.float32(noise) * generator.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    asked = seen + np.float32(noise) * generator.standard_normal(seen.shape, np.float32)
    return references, asked / np.linalg.norm(asked, axis=1, keepdims=True)


def timed(search: Search, queries: Floats, k: int) -> tuple[float, list[NDArray[np.int64]]]:
    """Median milliseconds (processor time) of one query, and all answers, each (k,)."""
    search(queries[0], k)
    spent, answers = [], []
    for query in queries:
        start = time.process_time()
        answers.append(search(query, k))
        spent.append(time.process_time() - start)
    return 1e3 * float(np.median(spent)), answers


def resident_megabytes() -> float:
    """Memory of this process (Linux; NaN elsewhere)."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS")), float("nan"))


def measure(method: Method, references: Floats, centres: Floats) -> Iterator[tuple[str, Search, list[float]]]:
    """Name, search, and build seconds, file MB, seconds to open, MB held of each way to ask an index."""
    gc.collect()
    with tempfile.TemporaryDirectory(prefix="retrieval-index-") as folder:
        before, start = resident_megabytes(), time.process_time()
        built = method.build(references, Path(folder), centres)
        build = time.process_time() - start
        gc.collect()
        facts = [build, built.file_bytes / 1e6, built.open_seconds, max(0.0, resident_megabytes() - before)]
        for suffix, search in built.searches.items():
            yield method.name + suffix, search, facts


def table(size: int, options: argparse.Namespace) -> str:
    """All methods on `size` references."""
    references, asked = clustered(size, options.dimension, options.queries, noise=options.noise)
    start = time.process_time()
    centres = centres_of(references)
    training = time.process_time() - start
    exact, truth = timed(lambda q, k: best(references @ q, k), asked, max(RANKS))
    rows: list[list[object]] = []
    for method in METHODS:
        if options.only and not any(word in method.name for word in options.only):
            continue
        for name, search, (build, file, opened, memory) in measure(method, references, centres):
            ms, found = timed(search, asked, max(RANKS))
            build += training if method.centred else 0
            row = [name, *recalls(truth, found), f"{ms:.2f}", f"{exact / ms:.1f}"]
            rows.append([*row, f"{build:.0f}", f"{file:.0f}", f"{opened:.2f}", f"{memory:.0f}"])
            print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    return markdown(HEADER, rows)


def recalls(truth: list[NDArray[np.int64]], found: list[NDArray[np.int64]]) -> list[str]:
    """Share of the exact k nearest that was found, for each k of RANKS."""
    return [
        f"{np.mean([len(set(a[:k]) & set(b[:k])) / k for a, b in zip(truth, found, strict=True)]):.3f}"
        for k in RANKS
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.5)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="methods whose name has one of these")
    options = parser.parse_args(arguments)
    import faiss
    from threadpoolctl import threadpool_limits

    print(f"{describe_machine()}\n", flush=True)
    with threadpool_limits(1):
        faiss.omp_set_num_threads(1)
        for size in options.sizes:
            print(f"### {size:,} references, D = {options.dimension}, noise {options.noise}\n", flush=True)
            print(f"{table(size, options)}\n", flush=True)
    print(f"EXACT_LIMIT is {EXACT_LIMIT:,}")


if __name__ == "__main__":
    main()
