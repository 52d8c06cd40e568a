"""A correspondence network between matching and the solvers: does it earn its place?

    python -m benchmarks pruner --checkpoint FILE [--data FOLDER] [--scene NAME ...] [--limit N]

Every scene's queries, and strangers (images of the other folders), with and without the network, on
the map as it is and on the same map without landmarks, where the relative road is the only one.
Maps and their calibration are built without a pruner, as on a robot.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pruner_tables
from benchmarks.report import describe_machine, machine
from benchmarks.sources import DATA, fresh_map, limited, loose_images, scenes
from benchmarks.stranger_tables import Trial
from benchmarks.strangers import Groups, RecordingLocalizer, attempt
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.evaluation.evaluate import MapFacts, answer, evaluate, spaced
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.features.base import Features
from relpose_ros.features.pruning import Pruner, size_for
from relpose_ros.localization.options import LocalizerOptions, options_for
from relpose_ros.maps.bundle import Landmarks, Map

LOOSE = 1.01
"""A ratio that every match passes which is mutual: what is right is left to the network."""


@dataclass(frozen=True)
class Variant:
    """One way to localize: which roads are pruned, and Lowe's ratio where it is not the default."""

    name: str
    roads: tuple[str, ...] = ()
    ratio: float | None = None
    bare: bool = False

    def options(self, profile: str) -> LocalizerOptions:
        """As options of a profile."""
        options = options_for(profile, pruned_roads=self.roads)
        if self.ratio is None:
            return options
        structure = replace(options.structure, ratio=self.ratio)
        return replace(options, structure=structure, relative=replace(options.relative, ratio=self.ratio))


BOTH = ("structure", "relative")
VARIANTS = (
    Variant("without"),
    Variant("relative pruned", BOTH[1:]),
    Variant("both pruned", BOTH),
    Variant("no ratio test", (), LOOSE),
    Variant("both pruned, no ratio test", BOTH, LOOSE),
    Variant("without", bare=True),
    Variant("relative pruned", BOTH[1:], bare=True),
    Variant("no ratio test", (), LOOSE, bare=True),
    Variant("relative pruned, no ratio test", BOTH[1:], LOOSE, bare=True),
)
"""`bare`: without landmarks. The variants without ratio test and pruner show what loosening alone does."""


@dataclass(frozen=True)
class Bench:
    """The network, the maps of the scenes (with and without landmarks), and the profile."""

    pruner: Pruner
    profile: str
    maps: dict[str, Map]
    bare_maps: dict[str, Map]

    def localizers(self, variant: Variant) -> Iterator[tuple[str, RecordingLocalizer]]:
        """Scene and localizer."""
        for name, opened in (self.bare_maps if variant.bare else self.maps).items():
            yield name, RecordingLocalizer(opened, variant.options(self.profile), self.pruner)


def without_landmarks(map_: Map) -> Map:
    """The same references: only pairs of images are left to go by."""
    size = map_.landmarks.descriptors.shape[1]
    none = Landmarks(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, size), np.float32))
    # A landmark's descriptor stays with its keypoints: the features are those of the map.
    features = tuple(replace(f, landmarks=np.full_like(f.landmarks, -1)) for f in map_.features)
    return replace(map_, landmarks=none, features=features)


def score(bench: Bench, variant: Variant, sources: dict[str, Source]) -> list[dict[str, Any]]:
    """`results.json` of every scene, and `profile`: the variant's name."""
    results = []
    for name, localizer in bench.localizers(variant):
        source, opened = sources[name], bench.maps[name]
        answer(localizer, source.references[0])  # the first call loads libraries
        facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points)
        found = evaluate(localizer, source, None, map_facts=facts)
        results.append({**found, "profile": variant.name, "bare": variant.bare})
    return results


def try_strangers(bench: Bench, groups: Groups) -> list[tuple[bool, Trial]]:
    """Every image of every group against every map that is not its own, by all variants; `bare` and trial."""
    asked = [(v, list(bench.localizers(v))) for v in VARIANTS]
    extract = asked[0][1][0][1]
    trials = []
    for group, images in groups.items():
        for image in images:
            features = extract.extract(image.frame())
            for variant, localizers in asked:
                trials += [
                    (variant.bare, _trial(localizer, features, image, group, variant.name))
                    for name, localizer in localizers
                    if name != group
                ]
    return trials


def _trial(
    localizer: RecordingLocalizer, features: Features, image: PosedImage, group: str, variant: str
) -> Trial:
    """As `attempt`, with the support of the best hypothesis of any road."""
    trial = attempt(localizer, features, image, group, variant)
    return replace(trial, support=max((h.evidence.inliers for h in localizer.last), default=0))


def prepare(args: argparse.Namespace, folder: Path) -> tuple[Bench, dict[str, Source]]:
    """The maps, built or found in `folder`, and the queries to ask."""
    pruner = Pruner(
        args.checkpoint,
        size_for(options_for(args.profile).max_keypoints),
        args.threshold,
        threads=args.threads,
    )
    sources = {s.name: limited(s, args.references, args.limit) for s in scenes(args.data, args.scene)}
    if not sources:
        raise SystemExit(f"{args.data}: no scene with references and queries")
    maps = {name: fresh_map(source, folder / f"{name}.relmap") for name, source in sources.items()}
    bare = {name: without_landmarks(opened) for name, opened in maps.items()}
    return Bench(pruner, args.profile, maps, bare), sources


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a correspondence network")
    parser.add_argument("--threshold", type=float, default=0.5, help="weight of a match that is kept")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the network (default: 1, as in the localizer)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of scenes (default: %(default)s)")
    parser.add_argument("--scene", action="append", help="only scenes whose name holds this; may be repeated")
    parser.add_argument("--profile", default="default")
    parser.add_argument("--limit", type=int, help="at most that many queries a scene, evenly spaced")
    parser.add_argument("--references", type=int, help="at most that many references a scene")
    parser.add_argument(
        "--strangers", type=int, default=10, help="images of each folder (default: %(default)s)"
    )
    parser.add_argument("--maps", type=Path, help="keep the maps here, and use again what lies here")
    parser.add_argument("--json", type=Path, help="also write everything, query by query, to this file")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks pruner", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    at_start = machine()
    groups: Groups = {}
    if args.strangers:
        groups = {s.name: spaced(s.queries, args.strangers) for s in scenes(args.data)}
        groups.update(loose_images(args.data, args.strangers))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.maps or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bench, sources = prepare(args, folder)
        results = []
        for variant in VARIANTS:
            results += score(bench, variant, sources)
            print(f"<!-- {variant.name}{' (bare)' * variant.bare}: done -->", flush=True)
        trials = try_strangers(bench, groups)
    print(f"{args.checkpoint.name}: {bench.pruner.info.network}, threshold {args.threshold}\n")
    print(pruner_tables.all_tables(results))
    if trials:
        print(f"\nStrangers:\n\n{pruner_tables.strangers(trials)}")
    if args.json:
        write_text(args.json, json.dumps(plain({"machine": at_start, "scenes": results}), indent=1))


if __name__ == "__main__":
    main()
