"""Every posed scene, from images to a scored map. The README's table.

    python -m benchmarks scenes [--data FOLDER] [--scene NAME ...] [--json FILE]

Maps are built by `build_map` with its defaults, opened again from disk, and asked for every query
image. One set of defaults serves all scenes; nothing is chosen by looking at queries.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import scene_tables
from benchmarks.report import describe_machine, machine
from benchmarks.sources import DATA, fresh_map, limited, scenes
from relpose_ros.datasets.base import Source
from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.evaluate import MapFacts, answer, evaluate
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.localization.localizer import Localizer
from relpose_ros.maps.bundle import Map


def score(source: Source, opened: Map, profile: str) -> dict[str, Any]:
    """`results.json` of a profile on the queries of a scene, and `profile`."""
    localizer = Localizer(opened, profile)
    answer(localizer, source.references[0])  # the first call loads libraries; a robot does that once
    facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points)
    return {**evaluate(localizer, source, None, map_facts=facts), "profile": profile}


def measure(args: argparse.Namespace, maps: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Results of all scenes and profiles, and what went wrong with the others."""
    results, failures = [], []
    for source in scenes(args.data, args.scene):
        chosen = limited(source, args.references, args.limit)
        try:
            opened = fresh_map(chosen, maps / f"{source.name}.relmap")
            for profile in args.profiles:
                results.append(score(chosen, opened, profile))
                print(f"<!-- {source.name} {profile}: {scene_tables.one_line(results[-1])} -->", flush=True)
        except RelposeError as error:
            failures.append(f"{source.name}: {error}")
    return results, failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of scenes (default: %(default)s)")
    parser.add_argument("--scene", action="append", help="only scenes whose name holds this; may be repeated")
    parser.add_argument("--profiles", nargs="+", default=["default", "fast"])
    parser.add_argument("--limit", type=int, help="at most that many queries a scene, evenly spaced")
    parser.add_argument("--references", type=int, help="at most that many references a scene")
    parser.add_argument("--maps", type=Path, help="keep the maps here, and use again what lies here")
    parser.add_argument(
        "--json", "--out", type=Path, help="also write everything, query by query, to this file"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks scenes", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    at_start = machine()
    if args.maps:
        args.maps.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        results, failures = measure(args, args.maps or Path(temporary))
    if not results and not failures:
        raise SystemExit(f"{args.data}: no scene with references and queries")
    print(f"\n{scene_tables.all_tables(results)}")
    if args.json:
        write_text(args.json, json.dumps(plain({"machine": at_start, "scenes": results}), indent=1))
    if failures:
        raise SystemExit("not in the tables:\n" + "\n".join(failures))


if __name__ == "__main__":
    main()
