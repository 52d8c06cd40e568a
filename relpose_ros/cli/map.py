"""`relpose map build|info|add|remove|merge`: make maps, look into them, change them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli.inputs import add_source_arguments, open_from
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_facts

if TYPE_CHECKING:
    from relpose_ros.cli.parser import CommandParser, Subparsers
    from relpose_ros.maps.bundle import Map

EXAMPLES = """\
relpose map build my_images/ --out office.relmap
relpose map build drive_bag/ -o image_topic=/camera/image_raw --out office.relmap
relpose map info office.relmap
relpose map add office.relmap new_images/ --out larger.relmap
relpose map remove office.relmap 000017.jpg 000018.jpg --out smaller.relmap
relpose map merge ground_floor.relmap first_floor.relmap --out house.relmap"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser(
        "map",
        help="build a map from posed images, look into it, change it",
        description="Make and change maps. A map is one file (*.relmap); every change makes a new one.",
        examples=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser(
        "build",
        help="posed images -> map",
        description="Build a map from the posed images of SOURCE. Run again after an interruption, it goes\n"
        "on from where it was; --out appears only when it is whole.",
        examples="\n".join(EXAMPLES.splitlines()[:2]),
    )
    add_source_arguments(build)
    _add_out(build)
    info = actions.add_parser("info", help="what a map holds and how it was made")
    info.add_argument("map", type=Path, metavar="MAP")
    info.add_argument("--json", action="store_true", help="as JSON, with the names of the references")
    info.add_argument(
        "--references", action="store_true", help="list the references instead, one name a line"
    )
    add = actions.add_parser("add", help="add posed images of the same place and frame")
    add.add_argument("map", type=Path, metavar="MAP")
    add_source_arguments(add)
    _add_out(add)
    remove = actions.add_parser("remove", help="remove references by name")
    remove.add_argument("map", type=Path, metavar="MAP")
    remove.add_argument(
        "names", metavar="NAME", nargs="+", help="a reference, as `relpose map info --references` names it"
    )
    _add_out(remove)
    merge = actions.add_parser("merge", help="one map out of several in the same frame")
    merge.add_argument("maps", type=Path, metavar="MAP", nargs="+")
    _add_out(merge)


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    return ACTIONS[args.action](args)


def _build(args: argparse.Namespace) -> int:
    from relpose_ros.maps.build import build_map

    source = open_from(args)
    with progress_bar("building the map") as progress:
        return _made(build_map(source, args.out, progress=progress))


def _info(args: argparse.Namespace) -> int:
    from relpose_ros.maps.bundle import Map

    opened = Map.open(args.map)
    facts = opened.info()
    if args.references:
        print("\n".join(opened.reference_names))
    elif args.json:
        print(json.dumps({**facts, "reference_names": list(opened.reference_names)}))
    else:
        print(format_facts(facts))
    return 0


def _add(args: argparse.Namespace) -> int:
    from relpose_ros.maps.edit import add_references

    source = open_from(args)
    with progress_bar("adding references") as progress:
        return _made(add_references(args.map, source, args.out, progress=progress))


def _remove(args: argparse.Namespace) -> int:
    from relpose_ros.maps.edit import remove_references

    return _made(remove_references(args.map, args.names, args.out))


def _merge(args: argparse.Namespace) -> int:
    from relpose_ros.maps.edit import merge_maps

    return _made(merge_maps(args.maps, args.out))


ACTIONS = {"build": _build, "info": _info, "add": _add, "remove": _remove, "merge": _merge}


def _made(made: Map) -> int:
    facts: dict[str, Any] = made.info()
    print(
        f"{made.path}: {facts['references']} references, {facts['landmarks']} landmarks, "
        f"{facts['bytes'] / 1e6:.1f} MB, built in {facts['build_seconds']:.1f} s"
    )
    return 0


def _add_out(parser: CommandParser) -> None:
    parser.add_argument("--out", required=True, type=Path, metavar="MAP", help="the map to write (*.relmap)")
