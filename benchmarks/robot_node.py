"""What the localizer node costs at a steady rate of images: processor and memory, as a process over DDS.

    python -m benchmarks robot_node [--profiles default fast] [--rate 10] [--seconds 60]

A simulated office is mapped; images of the query drive, 640x480 JPEG, are played to the node again and again
(`relpose replay`). Processor time is user and kernel time of the node's process from the first image on, over
wall time. A busy machine drops images (they are counted): then `cores at the rate` says what answering each
of them would take, at most, for what the node does beside answering counts as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import describe_machine, machine, markdown, number
from benchmarks.sources import fresh_map
from relpose_ros.datasets.simulate.dataset import simulate, write_simulation
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.evaluation.files import plain, write_text

COLUMNS = ("profile", "images a second", "answered", "dropped", "cores", "ms for each answer",
           "cores at the rate", "memory MB, largest", "MB a minute", "age p50 / p95 ms")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = _arguments(arguments)
    print(f"{describe_machine()}\n", flush=True)
    at_start = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.maps or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bag, path = _bag(args, folder), _map(args, folder)
        found = {profile: _play(args, bag, path, profile, Path(temporary)) for profile in args.profiles}
    print(markdown(COLUMNS, [_row(args, profile, figures) for profile, figures in found.items()]))
    if args.json:
        write_text(args.json, json.dumps(plain({"machine": at_start, "profiles": found}), indent=1))


def _bag(args: argparse.Namespace, folder: Path) -> Path:
    """The query drive; what lies there is used again."""
    out = folder / f"office_{args.seed}_{args.images}_{args.rate:g}"
    if not out.exists():
        options = SimulationOptions(
            args.seed, map_frames=0, query_frames=args.images, rate=args.rate, depth=False, bags=True
        )
        write_simulation(options, out)
    return out / "query_bag"


def _map(args: argparse.Namespace, folder: Path) -> Path:
    source = simulate(SimulationOptions(args.seed, map_frames=args.references, query_frames=1, depth=False))
    fresh_map(source, folder / f"{source.name}.relmap")
    return folder / f"{source.name}.relmap"


def _play(args: argparse.Namespace, bag: Path, path: Path, profile: str, scratch: Path) -> dict[str, Any]:
    """The figures of replay.json."""
    from relpose_ros.nodes.replay import ReplayOptions, replay

    options = ReplayOptions(path, bag, scratch / profile, minutes=args.seconds / 60, profile=profile)
    with contextlib.redirect_stdout(sys.stderr):  # the evaluation's own table
        return replay(options)


def _row(args: argparse.Namespace, profile: str, figures: dict[str, Any]) -> list[object]:
    used, memory, age = figures["node_processor"], figures["node_memory_mb"], figures["image_age_s"]
    each = used["ms_per_answer"]
    return [
        profile, number(figures["images_played"] / figures["seconds"]), figures["images_answered"],
        figures["images_dropped"], number(used["cores"], 2), number(each, 0),
        number(None if each is None else each * args.rate / 1e3, 2), number(memory["largest"], 0),
        number(memory["slope_per_minute"]),
        " / ".join(number(None if age[key] is None else 1e3 * age[key], 0) for key in ("p50", "p95")),
    ]  # fmt: skip


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(
        prog="benchmarks robot_node", description=lines[0], epilog=" ".join(lines[4:]).strip()
    )
    parser.add_argument("--profiles", nargs="+", default=["default", "fast"])
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each profile (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5, help="of the office (default: %(default)s)")
    parser.add_argument("--references", type=int, default=80, help="of the map (default: %(default)s)")
    parser.add_argument("--images", type=int, default=200, help="of the bag (default: %(default)s)")
    parser.add_argument("--maps", type=Path, help="keep map and bag here, and use again what lies here")
    parser.add_argument("--json", "--out", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
