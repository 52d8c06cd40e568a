"""Where landmarks find too little: regression alone, refined, structure alone, classical relative alone.

    python -m benchmarks relative_estimators --checkpoint FILE SOURCE... [--limit N] [--strangers N]
        [--blur PX] [--json FILE]

A map is built of each source's references (or used again from --maps), the network attached and calibrated,
and every query answered by each road alone, through the arbiter with its calibration. --blur makes queries
hard for local features: a Gaussian of so many pixels. --strangers also asks for so many images of each other
SOURCE: every pose of one is false. SOURCE is any that `relpose map build` takes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import scene_tables
from benchmarks.report import describe_machine, machine, markdown, number
from benchmarks.sources import fresh_map, is_of
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.datasets.open import open_source
from relpose_ros.evaluation.consistency import Share
from relpose_ros.evaluation.evaluate import Localizes, MapFacts, answer, spaced, write_evaluation
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.localization.arbiter import REFINED, REGRESSION, Arbiter
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.graph_road import GraphRoad, open_regressor
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.mapping import attach_network
from relpose_ros.localization.options import options_for
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.relative import RelativeLocalizer
from relpose_ros.localization.rivals import doubted, separate_places
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Frame, Hypothesis, Localization, State

Results = dict[str, Any]
Road = Callable[[Query, list[Neighbour]], list[Hypothesis]]

PUBLISHED = (State.LOCALIZED, State.DEGRADED)


@dataclass
class OneRoad:
    """Localizes by one road alone; features and retrieval are `whole`'s."""

    whole: Localizer
    road: Road
    arbiter: Arbiter
    ranked: int

    def localize(self, frame: Frame) -> Localization:
        """Through the arbiter, as any."""
        start = time.perf_counter()
        features = self.whole.extract(frame)
        if not len(features):
            return replace(self.arbiter.decide([], "no features"), latency_ms={"total": 0.0})
        descriptor = self.whole.describe(features, frame.image)
        ranking = self.whole.retrieve(descriptor, max(self.ranked, self.whole.options.neighbours))
        place = separate_places(self.whole.map, ranking)[0]
        query = replace(
            Query.of(features, frame.camera, self.whole.options.seed), image=frame.image, ranking=tuple(place)
        )
        begun = time.perf_counter()
        found = self.road(query, place[: self.whole.options.neighbours]) if place else []
        ended = time.perf_counter()
        map_ = self.whole.map
        judged = [with_circumstances(map_, doubted(map_, h), frame.camera.focal) for h in found]
        answered = self.arbiter.decide(judged, "this road found nothing")
        times = {"road": 1e3 * (ended - begun), "total": 1e3 * (ended - start)}
        return replace(answered, latency_ms=times, source=frame.source, stamp=frame.stamp)


def contestants(opened: Map, checkpoint: Path, profile: str) -> dict[str, Localizes]:
    """Each road alone, and all together without and with regression."""
    options, regressor = options_for(profile), open_regressor(checkpoint)
    whole = Localizer(opened, options)
    structure = StructureLocalizer(opened, options.structure)
    graph = GraphRoad(opened, regressor, structure, options.graph_road)
    arbiter = Arbiter(Calibration.from_dict(opened.calibration), options.arbiter, graph.known.by_road)
    classical = RelativeLocalizer(opened, options.relative)

    def of(method: str) -> Road:
        return lambda query, place: [h for h in graph.hypotheses(query, place) if h.method == method]

    roads: dict[str, Road] = {
        "structure alone": structure.hypotheses,
        "classical relative alone": classical.hypotheses,
        "regression alone": of(REGRESSION),
        "regression refined": of(REFINED),
    }
    alone: dict[str, Localizes] = {
        name: OneRoad(whole, road, arbiter, graph.ranked) for name, road in roads.items()
    }
    both = Localizer(opened, options, regressor=regressor)
    return {**alone, "all without regression": whole, "all with regression": both}


def blurred(image: PosedImage, pixels: float) -> PosedImage:
    """As a camera out of focus sees it."""
    import cv2

    def load() -> NDArray[np.uint8]:
        return np.asarray(cv2.GaussianBlur(image.load(), (0, 0), pixels), np.uint8)

    return replace(image, load=load) if pixels else image


def measure(
    source: Source, opened: Map, strangers: Sequence[PosedImage], args: argparse.Namespace
) -> list[Results]:
    """`results.json` of each contestant, `profile`: its name, and `strangers`: what became of them."""
    localizers = contestants(opened, args.checkpoint, args.profile)
    facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points)
    queries = [blurred(image, args.blur) for image in spaced(source.queries, args.limit)]
    results = []
    for name, localizer in localizers.items():
        answer(localizer, source.references[0])  # the first call loads libraries
        records = [answer(localizer, image) for image in queries]
        found = write_evaluation(records, None, facts, source=source, command="")
        asked = [answer(localizer, image, outside=True).localization.state for image in strangers]
        told: dict[str, int] = {str(state): asked.count(state) for state in PUBLISHED}
        told["asked"] = len(asked)
        results.append({**found, "profile": name, "strangers": told})
    return results


def false_poses(results: Sequence[Results]) -> str:
    """Poses published for images of other places."""
    rows = []
    for result in results:
        told = result["strangers"]
        share = Share(sum(told[state] for state in PUBLISHED), told["asked"])
        counts = [told["asked"], *(told[state] for state in PUBLISHED), f"{share.interval[1]:.3f}"]
        rows.append([result["source"], result["profile"], *counts])
    header = ["map", "", "images of other places", "localized", "degraded", "share at most (95 %)"]
    return markdown(header, rows)


def prepared(source: Source, checkpoint: Path, folder: Path) -> Map:
    """The map of a source with the network attached, made unless it is there."""
    plain_map, attached = folder / f"{source.name}.relmap", folder / f"{source.name}.gnn.relmap"
    fresh_map(source, plain_map)
    if not attached.exists() or not is_of(Map.open(attached), source):
        attach_network(plain_map, [source], checkpoint, attached)
    return Map.open(attached)


def roads_taken(results: Sequence[Results]) -> str:
    """How many answers came by which road, how many were degraded, and how long the road took."""
    rows = []
    for result in results:
        told = [q for q in result["per_query"] if q["state"] != "unlocalized"]
        methods = {m: sum(q["method"] == m for q in told) for m in sorted({q["method"] for q in told})}
        degraded = sum(q["state"] == "degraded" for q in told)
        times = [q["latency_ms"].get("road", np.nan) for q in result["per_query"]]
        spent = float(np.nanmedian(times)) if np.isfinite(times).any() else None
        by = ", ".join(f"{m} {n}" for m, n in methods.items()) or "-"
        rows.append([result["source"], result["profile"], by, degraded, number(spent)])
    return markdown(["scene", "", "poses by road", "degraded", "road, ms p50"], rows)


def calibrations(maps: Sequence[Map]) -> str:
    """What held-out references said of the network in each map."""
    rows = []
    for opened in maps:
        assert opened.graph is not None
        known = opened.graph.calibration
        edges, alone, refined = (known[name] for name in ("edges", REGRESSION, REFINED))
        row = [opened.name, f"{edges['translation']:.2g}, {edges['rotation']:.2g}", alone["samples"]]
        row += [alone["min_inliers"], f"{alone['share_right']:.2f}", f"{alone['availability']:.2f}"]
        rows.append([*row, refined["min_inliers"], f"{refined['availability']:.2f}"])
    header = ["map", "edge variance x (t, r)", "held out, right", "must agree", "share right", "available"]
    return markdown([*header, "refined: needed", "available"], rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="posed images with queries")
    parser.add_argument("--checkpoint", type=Path, required=True, help="of relpose_gnn.*")
    parser.add_argument("--profile", default="default")
    parser.add_argument("--limit", type=int, help="at most that many queries a scene, evenly spaced")
    parser.add_argument(
        "--strangers", type=int, default=0, help="images of each other SOURCE (default: none)"
    )
    parser.add_argument("--blur", type=float, default=0.0, help="of the queries, px (default: none)")
    parser.add_argument("--maps", type=Path, help="keep the maps here, and use again what lies here")
    parser.add_argument("--json", type=Path, help="also write everything, query by query, to this file")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks relative_estimators", description=(__doc__ or "").splitlines()[0]
    )
    add_arguments(parser)
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    at_start, results, maps = machine(), [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.maps or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sources = [open_source(path) for path in args.sources]
        for source in sources:
            if not source.references or not source.queries:
                raise SystemExit(f"{source.path}: expected references and queries")
        for source in sources:
            others = [
                i for other in sources if other is not source for i in spaced(other.queries, args.strangers)
            ]
            maps.append(prepared(source, args.checkpoint, folder))
            results += measure(source, maps[-1], others, args)
        tables = [scene_tables.accuracy(results), scene_tables.coverage(results), roads_taken(results)]
        tables += [false_poses(results)] if args.strangers else []
        print("\n\n".join([*tables, calibrations(maps)]))
    if args.json:
        write_text(args.json, json.dumps(plain({"machine": at_start, "scenes": results}), indent=1))


if __name__ == "__main__":
    main()
