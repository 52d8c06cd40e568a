"""What a robot is told on every scene, by single frames and with odometry. docs/tracking.md's table.

    python -m benchmarks robot [--data FOLDER] [--scene NAME ...] [--simulate office:5 ...] [--seeds 1 2 3]

Maps are built as in `benchmarks scenes`. Every query is asked once. The answers are scored one by one, then
joined by odometry made from the true poses, once for each seed, undisturbed and with a kidnapping halfway:
`relpose evaluate --odometry simulated:SEED --kidnap-at K`. Queries without stamps come 10 a second, or as
much slower as keeps them below half of the speed that the tracker takes for a jump. Medians are over poses;
false poses are more than 1 m or 15 degrees off while claiming less than a third of it; `at most` is the
95 % bound on their share. Those in drives with a kidnapping are in the last column.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import robot_tables
from benchmarks.deals import DEALS, deal_argument, dealt
from benchmarks.report import describe_machine, machine
from benchmarks.robot_runs import Results, measure
from benchmarks.scenes import add_arguments
from benchmarks.sources import fresh_map, limited, scenes
from relpose_ros.datasets.base import Source
from relpose_ros.datasets.simulate.dataset import simulate
from relpose_ros.datasets.simulate.options import WORLDS, SimulationOptions
from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.files import plain, write_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = _arguments(arguments)
    print(f"{describe_machine()}\n", flush=True)
    at_start = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.maps or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results, failures = _measure_all(args, folder)
    if results:
        print(f"\n{robot_tables.table(results)}")
    if args.json:
        found = {"machine": at_start, "seeds": args.seeds, "scenes": results}
        write_text(args.json, json.dumps(plain(found), indent=1))
    if failures or not results:
        raise SystemExit(
            "\n".join(["not in the table:", *failures]) if failures else f"{args.data}: no scene"
        )


def _measure_all(args: argparse.Namespace, folder: Path) -> tuple[list[Results], list[str]]:
    results: list[Results] = []
    failures = []
    for place, deal, source in _sources(args):
        chosen = limited(source, args.references, args.limit)
        try:
            opened = fresh_map(chosen, folder / f"{source.name}.relmap")
            for profile in args.profiles:
                found = measure(chosen, opened, profile, args.seeds)
                results.append({**found, "place": place, "deal": deal})
                print(f"<!-- {robot_tables.one_line(results[-1])} -->", flush=True)
        except RelposeError as error:
            failures.append(f"{source.name}: {error}")
    return results, failures


def _sources(args: argparse.Namespace) -> Iterator[tuple[str, str, Source]]:
    """The place's name, how its images are dealt, and the images."""
    if not args.no_data:
        for source in scenes(args.data, args.scene):
            yield from ((source.name, deal, dealt(source, deal)) for deal in args.deal)
    for world, seed in args.simulate:
        map_frames, query_frames = args.frames
        source = simulate(
            SimulationOptions(seed, world, map_frames=map_frames, query_frames=query_frames, depth=False)
        )
        yield f"simulated {world}", "given", source


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(
        prog="benchmarks robot", description=lines[0], epilog=" ".join(lines[4:]).strip()
    )
    add_arguments(parser)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N",
        help="of the odometry's noise (default: 1 2 3)",
    )  # fmt: skip
    parser.add_argument(
        "--simulate", type=_world, action="append", default=[], metavar="WORLD:SEED",
        help=f"also a simulated world ({', '.join(WORLDS)}); may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--frames", type=int, nargs=2, default=[80, 60], metavar=("MAP", "QUERY"),
        help="images of each simulated drive (default: 80 60)",
    )  # fmt: skip
    parser.add_argument(
        "--deal", type=deal_argument, nargs="+", default=["given"], metavar="DEAL",
        help=f"how a scene's images become references and queries: {', '.join(DEALS)} (default: given)",
    )  # fmt: skip
    parser.add_argument("--no-data", action="store_true", help="simulated worlds alone")
    return parser.parse_args(arguments)


def _world(word: str) -> tuple[str, int]:
    world, _, seed = word.partition(":")
    if world not in WORLDS or not seed.isdecimal():
        raise argparse.ArgumentTypeError(f"expected WORLD:SEED, as office:5, got {word!r}")
    return world, int(seed)


if __name__ == "__main__":
    main()
