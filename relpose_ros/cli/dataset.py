"""`relpose dataset simulate|fetch|info`: make, get and look into posed-image sources."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli.inputs import add_source_arguments, make_camera, open_from
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_facts, format_table

if TYPE_CHECKING:
    from relpose_ros.cli.parser import CommandParser, Subparsers
    from relpose_ros.datasets.base import Source

EXAMPLES = """\
relpose dataset simulate --out world/ --bags              a furnished world: images, exact poses, depth, bags
relpose dataset simulate --out world_b/ --appearance b    the same geometry, another look
relpose dataset fetch 7scenes:chess --out data/           a public dataset, with checksum and licence note
relpose dataset info world/"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser(
        "dataset",
        help="make, get and look into posed images",
        description="Posed-image sources: what maps are built from and localization is scored on.",
        examples=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_simulate(actions.add_parser("simulate", help="render a world: a mapping drive and a query drive"))
    fetch = actions.add_parser("fetch", help="download a public dataset")
    fetch.add_argument(
        "name", metavar="NAME", nargs="?", help="as 7scenes:chess; without it, what there is is listed"
    )
    fetch.add_argument(
        "--accept-licence", action="store_true", help="you have read the licence and accept it"
    )
    fetch.add_argument("--out", type=Path, default=Path("data"), metavar="FOLDER", help="default: data/")
    info = actions.add_parser("info", help="what a source holds")
    add_source_arguments(info)
    info.add_argument("--json", action="store_true", help="as JSON")


def _add_simulate(parser: CommandParser) -> None:
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the world goes")
    parser.add_argument("--seed", type=int, help="everything random follows from it (default 0)")
    parser.add_argument(
        "--world",
        help="office (default); rooms: other walls for every seed; of places that look alike: "
        "corridor, equal_doors, ...",
    )
    parser.add_argument("--appearance", help="a (default) or b: two looks of the same geometry")
    parser.add_argument(
        "--domain", help="real (default), or simulated: as a game engine shows it, flat and without noise"
    )
    parser.add_argument("--map-frames", type=int, metavar="N", help="images of the mapping drive")
    parser.add_argument("--query-frames", type=int, metavar="N", help="images of the query drive")
    parser.add_argument("--width", type=int, help="image width in pixels")
    parser.add_argument("--height", type=int, help="image height in pixels")
    parser.add_argument(
        "--camera", nargs="+", metavar="CAMERA", help="any camera: a YAML file or its numbers"
    )
    parser.add_argument("--bags", action="store_true", default=None, help="write rosbag2 files as well")
    parser.add_argument(
        "--no-depth", dest="depth", action="store_false", default=None, help="no depth images"
    )


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    return ACTIONS[args.action](args)


def _simulate(args: argparse.Namespace) -> int:
    from relpose_ros.datasets.simulate.dataset import write_simulation
    from relpose_ros.datasets.simulate.options import SimulationOptions

    given = {f.name: getattr(args, f.name, None) for f in fields(SimulationOptions)}
    if given["camera"] is not None:
        given["camera"] = make_camera(given["camera"])
    options = SimulationOptions(**{name: value for name, value in given.items() if value is not None})
    with progress_bar("rendering") as progress:
        write_simulation(options, args.out, progress=progress)
    print(f"{args.out}: {options.map_frames} map images, {options.query_frames} query images")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from relpose_ros.datasets.fetch import fetch, find_entry, licence_note, list_datasets

    if args.name is None:
        print(format_table((entry.name, entry.licence) for entry in list_datasets()))
        return 0
    if args.accept_licence:
        print(licence_note(find_entry(args.name)), file=sys.stderr)
    with progress_bar(f"fetching {args.name}") as progress:
        print(fetch(args.name, args.out, args.accept_licence, progress))
    return 0


def _info(args: argparse.Namespace) -> int:
    facts = source_facts(open_from(args))
    print(json.dumps(facts) if args.json else format_facts(facts))
    return 0


def source_facts(source: Source) -> dict[str, Any]:
    """What there is to say of a source without reading its pixels."""
    cameras = dict.fromkeys(image.camera for image in source.images)
    sizes = dict.fromkeys(f"{camera.width}x{camera.height} {camera.model}" for camera in cameras)
    stamps = [image.stamp for image in source.images]
    return {
        "name": source.name,
        "path": str(source.path),
        "images": len(source.images),
        "references": len(source.references),
        "queries": len(source.queries),
        "queries_with_truth": sum(image.map_from_camera is not None for image in source.queries),
        "depth": sum(image.load_depth is not None for image in source.images),
        "cameras": len(cameras),
        "camera_kinds": list(sizes),
        "seconds": max(stamps) - min(stamps) if stamps else 0.0,
        "metric": source.metric,
        "licence": source.licence or "not stated",
    }


ACTIONS = {"simulate": _simulate, "fetch": _fetch, "info": _info}
