"""Relative poses of a query to its references: with their descriptors out of the map, and from their images.

    python -m benchmarks graph_latency [--network NAME] [--neighbours N] [--threads N] [--processor-time]

Both ways in one run, in turns, on the same images and weights (drawn at random: what is computed does not
depend on them). Images are already as the network sees them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.report import describe_machine, markdown
from benchmarks.timing import race

NETWORKS = ("relpose_gnn.robot", "relpose_gnn.r3", "relpose_gnn.release")


class Subject(NamedTuple):
    """What is timed: the whole graph, one image's descriptor, and edges from descriptors."""

    recompute: Callable[[], object]
    cached: Callable[[], object]
    describe: Callable[[], object]
    edges: Callable[[], object]
    numbers: int


def subject(name: str, neighbours: int, seed: int = 0) -> Subject:
    """A network with random weights, and a graph of a query and its neighbours."""
    import torch

    from relpose_ros.networks.registry import build_network
    from relpose_ros.networks.relpose_gnn.graph_network import GraphNetwork

    torch.manual_seed(seed)
    network = build_network(name).eval()
    assert isinstance(network, GraphNetwork)
    (images,) = network.example_inputs(1, torch.Generator().manual_seed(seed))
    images = images[0, :1].repeat(neighbours + 1, 1, 1, 1)
    images = images + 0.1 * torch.randn(images.shape)
    with torch.inference_mode():
        known = network.features(images)

    def recompute() -> object:
        with torch.inference_mode():
            return network.edge_poses(network.features(images)[None])

    def describe() -> object:
        with torch.inference_mode():
            return network.features(images[:1])

    def edges() -> object:
        with torch.inference_mode():
            return network.edge_poses(known[None])

    def cached() -> object:
        with torch.inference_mode():
            return network.edge_poses(torch.cat([network.features(images[:1]), known[1:]])[None])

    return Subject(recompute, cached, describe, edges, known.shape[1])


def measure(name: str, neighbours: int, rounds: int, clock: Callable[[], float]) -> list[object]:
    """One row of the table."""
    made = subject(name, neighbours)
    times = race(
        {
            "recompute": made.recompute,
            "cached": made.cached,
            "describe": made.describe,
            "edges": made.edges,
        },
        repeats=rounds,
        patience=120,
        clock=clock,
    )
    numbers = f"{made.numbers} ({2 * made.numbers / 1e3:.1f} kB)"
    shown = [f"{times[way]:.1f}" for way in ("recompute", "cached", "describe", "edges")]
    return [name, numbers, *shown, f"{times['recompute'] / times['cached']:.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks graph_latency", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--network", action="append", help=f"default: {', '.join(NETWORKS)}")
    parser.add_argument("--neighbours", type=int, default=7, help="references a query (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--processor-time", action="store_true", help="of all threads: for a machine that does other work too"
    )
    args = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(args.threads)
    print(f"{describe_machine()}\n\n{args.neighbours} references, {args.threads} threads\n", flush=True)
    clock = time.process_time if args.processor_time else time.perf_counter
    rows = [measure(name, args.neighbours, args.rounds, clock) for name in args.network or NETWORKS]
    header = ["network", "numbers a reference (in the map)", "all from images, ms", "cached, ms"]
    header += ["of these the query's image", "and the graph", "ratio"]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
