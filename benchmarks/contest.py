"""Several ways to localize, over the same scenes and the same strangers: what two benchmarks share."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import contest_tables
from benchmarks.report import describe_machine, machine
from benchmarks.sources import DATA, fresh_map, limited, loose_images, scenes
from benchmarks.stranger_tables import Trial
from benchmarks.strangers import Groups, RecordingLocalizer, attempt
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.evaluation.evaluate import MapFacts, answer, evaluate, spaced
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.features.base import Features
from relpose_ros.maps.bundle import Landmarks, Map


@dataclass(frozen=True)
class Variant:
    """One way to localize in a map. `bare`: in one without landmarks, where pairs of images are all."""

    name: str
    localizer: Callable[[Map], RecordingLocalizer]
    bare: bool = False


@dataclass(frozen=True)
class Field:
    """The maps of the scenes, with and without landmarks, by name, and the queries to ask."""

    maps: dict[str, Map]
    bare_maps: dict[str, Map]
    sources: dict[str, Source]

    def localizers(self, variant: Variant) -> Iterator[tuple[str, RecordingLocalizer]]:
        """Scene and localizer."""
        for name, opened in (self.bare_maps if variant.bare else self.maps).items():
            yield name, variant.localizer(opened)


def without_landmarks(map_: Map) -> Map:
    """The same references: only pairs of images are left to go by."""
    size = map_.landmarks.descriptors.shape[1]
    none = Landmarks(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, size), np.float32))
    # A landmark's descriptor stays with its keypoints: the features are those of the map.
    features = tuple(replace(f, landmarks=np.full_like(f.landmarks, -1)) for f in map_.features)
    return replace(map_, landmarks=none, features=features)


def run(args: argparse.Namespace, variants: Sequence[Variant], heading: str) -> None:
    """Ask all variants for the scenes' queries and for strangers, and print the tables.

    The first variant is what the others are compared with.
    """
    print(f"{describe_machine()}\n", flush=True)
    at_start = machine()
    groups: Groups = {}
    if args.strangers:
        groups = {s.name: spaced(s.queries, args.strangers) for s in scenes(args.data)}
        groups.update(loose_images(args.data, args.strangers))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.maps or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        field = _prepare(args, folder)
        results = []
        for variant in variants:
            results += _score(field, variant)
            print(f"<!-- {variant.name}{' (bare)' * variant.bare}: done -->", flush=True)
        print(f"{heading}\n")
        print(contest_tables.all_tables(results, variants[0].name), flush=True)
        if args.json:
            write_text(args.json, json.dumps(plain({"machine": at_start, "scenes": results}), indent=1))
        trials = _try_strangers(field, variants, groups)
    if trials:
        print(f"\nStrangers:\n\n{contest_tables.strangers(trials)}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every such benchmark."""
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


def _prepare(args: argparse.Namespace, folder: Path) -> Field:
    """The maps, built or found in `folder`."""
    sources = {s.name: limited(s, args.references, args.limit) for s in scenes(args.data, args.scene)}
    if not sources:
        raise SystemExit(f"{args.data}: no scene with references and queries")
    maps = {name: fresh_map(source, folder / f"{name}.relmap") for name, source in sources.items()}
    return Field(maps, {name: without_landmarks(opened) for name, opened in maps.items()}, sources)


def _score(field: Field, variant: Variant) -> list[dict[str, Any]]:
    """`results.json` of every scene, and `profile`: the variant's name."""
    results = []
    for name, localizer in field.localizers(variant):
        source, opened = field.sources[name], field.maps[name]
        answer(localizer, source.references[0])  # the first call loads libraries
        facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points)
        found = evaluate(localizer, source, None, map_facts=facts)
        results.append({**found, "profile": variant.name, "bare": variant.bare})
    return results


def _try_strangers(field: Field, variants: Sequence[Variant], groups: Groups) -> list[tuple[bool, Trial]]:
    """Every image of every group against every map that is not its own, by all variants; `bare` and trial."""
    asked = [(v, list(field.localizers(v))) for v in variants]
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
