"""A network of scene coordinates against `structure` on the same queries: is it as right, as sure, as fast?

    python -m benchmarks scene_coordinates --checkpoint FILE --map FILE SOURCE [--limit N] [--json FILE]

Every query is answered by the map alone, by each network alone and by the map with each network beside it, in
turns. SOURCE is any that `relpose map build` takes; its references made the map and trained the network.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scene_tables
from benchmarks.report import describe_machine, machine, markdown, number
from relpose_ros.checkpoints.format import read_info
from relpose_ros.checkpoints.scene import ScenePredictor
from relpose_ros.datasets.base import Source
from relpose_ros.datasets.open import open_source
from relpose_ros.evaluation.evaluate import Localizes, MapFacts, answer, spaced, write_evaluation
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.scene_coordinates import SceneLocalizer
from relpose_ros.maps.bundle import Map

Results = dict[str, Any]

BASE = "structure"


@dataclass(frozen=True)
class Contest:
    """Localizers by name, the first of them the map alone, and what they are asked."""

    localizers: dict[str, Localizes]
    source: Source
    facts: MapFacts

    def run(self, limit: int | None) -> list[Results]:
        """`results.json` of each, and `profile`: its name. The order changes from query to query."""
        for localizer in self.localizers.values():
            answer(localizer, self.source.references[0])  # the first call loads libraries
        records: dict[str, list[QueryRecord]] = {name: [] for name in self.localizers}
        names = list(self.localizers)
        for image in spaced(self.source.queries, limit):
            names = [*names[1:], names[0]]
            for name in names:
                records[name].append(answer(self.localizers[name], image))
        return [
            {**write_evaluation(found, None, self.facts, source=self.source, command=""), "profile": name}
            for name, found in records.items()
        ]


def make_contest(args: argparse.Namespace) -> Contest:
    """The map, and with each checkpoint a localizer without and one beside it."""
    source, opened = open_source(args.source), Map.open(args.map)
    localizers: dict[str, Localizes] = {BASE: Localizer(opened, args.profile)}
    for path in args.checkpoint:
        predictor, name = ScenePredictor(path, threads=args.threads), name_of(path)
        localizers[name] = SceneLocalizer(predictor, args.profile)
        localizers[f"{BASE} + {name}"] = Localizer(opened, args.profile, scene=predictor)
    facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points)
    return Contest(localizers, source, facts)


def name_of(file: Path) -> str:
    """With the folder: every run has a best.safetensors."""
    return f"{file.absolute().parent.name}/{file.name}"


def latency(results: Sequence[Results]) -> str:
    """Milliseconds of a query, and each query's time over that of the map alone."""
    base = [q["latency_ms"].get("total", np.nan) for q in results[0]["per_query"]]
    rows = []
    for result in results:
        times = [q["latency_ms"].get("total", np.nan) for q in result["per_query"]]
        network = [q["latency_ms"].get("coordinates", np.nan) for q in result["per_query"]]
        row = [result["profile"], *(_percentile(times, p) for p in (50, 95)), _percentile(network, 50)]
        rows.append([*row, _percentile(np.divide(times, base), 50, 2)])
    header = ["", "p50, ms", "p95, ms", "of these the network, p50", f"median time / {BASE}"]
    return markdown(header, rows)


def _percentile(values: Any, percent: float, digits: int = 1) -> str:
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return number(float(np.percentile(known, percent)) if len(known) else None, digits)


def sizes(map_file: Path, info: dict[str, Any], checkpoints: Sequence[Path]) -> str:
    """What is carried on the robot, and what it took to make."""
    built = number(info["build_seconds"] / 60, 2)
    rows = [[name_of(map_file), number(map_file.stat().st_size / 1e3, 0), built]]
    for path in checkpoints:
        minutes = read_info(path).recipe.get("minutes")
        rows.append([name_of(path), number(path.stat().st_size / 1e3, 0), number(minutes, 1)])
    return markdown(["file", "kB", "minutes to make"], rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="posed images; their queries are asked")
    parser.add_argument("--map", type=Path, required=True, help="built from the references of SOURCE")
    parser.add_argument(
        "--checkpoint", type=Path, required=True, action="append", help="of the scene; may be repeated"
    )
    parser.add_argument("--profile", default="default")
    parser.add_argument("--threads", type=int, default=2, help="of the network (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="at most that many queries, evenly spaced")
    parser.add_argument("--json", type=Path, help="also write everything, query by query, to this file")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks scene_coordinates", description=(__doc__ or "").splitlines()[0]
    )
    add_arguments(parser)
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    at_start = machine()
    contest = make_contest(args)
    if not contest.source.references or not contest.source.queries:
        raise SystemExit(f"{args.source}: expected references and queries")
    results = contest.run(args.limit)
    info = dict(contest.facts.info or {})
    parts = (scene_tables.accuracy(results), scene_tables.coverage(results), latency(results))
    print("\n\n".join([*parts, sizes(args.map, info, args.checkpoint)]))
    if args.json:
        write_text(args.json, json.dumps(plain({"machine": at_start, "scenes": results}), indent=1))


if __name__ == "__main__":
    main()
