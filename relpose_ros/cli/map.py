"""`relpose map build|info|add|remove|merge|attach|prune|check|view`: make maps, look in, change them."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli import map_attach, map_field
from relpose_ros.cli.inputs import RETRIEVAL_HELP, add_source_arguments, open_from
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_facts, format_table
from relpose_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from relpose_ros.cli.parser import CommandParser, Subparsers
    from relpose_ros.maps.assemble import BuildOptions
    from relpose_ros.maps.bundle import Map

EXAMPLES = """\
relpose map build my_images/ --out office.relmap
relpose map build drive_bag/ -o image_topic=/camera/image_raw --out office.relmap
relpose map build my_images/ --retrieval places.safetensors --out office.relmap
relpose map info office.relmap
relpose map add office.relmap new_images/ --out larger.relmap
relpose map add office.relmap at_night/ --condition night --out day_and_night.relmap
relpose map remove office.relmap 000017.jpg 000018.jpg --out smaller.relmap
relpose map remove day_and_night.relmap --condition night --out day.relmap
relpose map merge ground_floor.relmap first_floor.relmap --out house.relmap
relpose map attach office.relmap my_images/ --relpose-gnn poses.safetensors --out office_gnn.relmap
relpose map prune office.relmap --dry-run
relpose map check office.relmap
relpose map view office.relmap --out office.html"""


LEAST = {"max_keypoints": 50, "pair_neighbours": 1, "calibration_samples": 0, "seed": 0}
"""Of the numbers that say how a map is made."""


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
        examples="\n".join(EXAMPLES.splitlines()[:3]),
    )
    add_source_arguments(build)
    _add_out(build)
    _add_build_options(build)
    info = actions.add_parser("info", help="what a map holds and how it was made")
    info.add_argument("map", type=Path, metavar="MAP")
    info.add_argument("--json", action="store_true", help="as JSON, with the names of the references")
    what = info.add_mutually_exclusive_group()
    what.add_argument(
        "--references", action="store_true", help="list the references instead, one name a line"
    )
    what.add_argument(
        "--conditions", action="store_true", help="list the conditions instead, with what they share"
    )
    add = actions.add_parser("add", help="add posed images of the same place and frame")
    add.add_argument("map", type=Path, metavar="MAP")
    add_source_arguments(add)
    _add_trust(add)
    _add_out(add)
    _add_build_options(add)
    add.add_argument(
        "--retrain-vlad",
        action="store_true",
        default=None,
        help="learn VLAD and describe all references anew (default: keep the map's; it fits less well what "
        "does not look like the map)",
    )
    remove = actions.add_parser("remove", help="remove references by name or condition")
    remove.add_argument("map", type=Path, metavar="MAP")
    remove.add_argument(
        "names", metavar="NAME", nargs="*", help="a reference, as `relpose map info --references` names it"
    )
    remove.add_argument(
        "--condition", action="append", default=[], metavar="TEXT",
        help="all references of this condition (`relpose map info --conditions`); may be given again",
    )  # fmt: skip
    _add_out(remove)
    merge = actions.add_parser("merge", help="one map out of several in the same frame")
    merge.add_argument("maps", type=Path, metavar="MAP", nargs="+")
    _add_trust(merge)
    _add_out(merge)
    _add_build_options(merge, extracting=False)
    map_attach.add_parser(actions)
    map_field.add_parsers(actions)


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    return ACTIONS[args.action](args)


def _build(args: argparse.Namespace) -> int:
    from relpose_ros.localization.mapping import build_map

    source = open_from(args)
    with progress_bar("building the map") as progress:
        made = build_map(source, args.out, _build_options(args), progress)
    return _made(made)


def _info(args: argparse.Namespace) -> int:
    from relpose_ros.maps.bundle import Map

    opened = Map.open(args.map)
    facts = opened.info()
    if args.references:
        print("\n".join(opened.reference_names))
    elif args.conditions:
        print(format_table(map_field.condition_table(opened)))
    elif args.json:
        print(json.dumps({**facts, "reference_names": list(opened.reference_names)}))
    else:
        print(format_facts(facts))
    return 0


def _add(args: argparse.Namespace) -> int:
    from relpose_ros.localization.mapping import add_references

    source = open_from(args)
    with progress_bar("adding references") as progress:
        made = add_references(args.map, source, args.out, _build_options(args), progress, args.trust_poses)
    return _made(made)


def _remove(args: argparse.Namespace) -> int:
    from relpose_ros.localization.mapping import remove_references

    if not args.names and not args.condition:
        raise ConfigurationError("expected NAME of a reference, or --condition TEXT, or both; got neither")
    return _made(remove_references(args.map, args.names, args.out, args.condition))


def _merge(args: argparse.Namespace) -> int:
    from relpose_ros.localization.mapping import merge_maps

    with progress_bar("merging maps") as progress:
        made = merge_maps(args.maps, args.out, _build_options(args), progress, args.trust_poses)
    return _made(made)


ACTIONS = {
    "build": _build,
    "info": _info,
    "add": _add,
    "remove": _remove,
    "merge": _merge,
    "attach": map_attach.run,
    **map_field.ACTIONS,
}


def _made(made: Map) -> int:
    print(made_text(made))
    return 0


def made_text(made: Map) -> str:
    """What a person wants to know of a map that was just made."""
    from relpose_ros.maps.notes import notes_of

    facts: dict[str, Any] = made.info()
    lines = [
        f"{made.path}: {facts['references']} references, {facts['landmarks']} landmarks, "
        f"{facts['bytes'] / 1e6:.1f} MB, built in {facts['build_seconds']:.1f} s"
    ]
    calibration = facts.get("calibration", {})
    if calibration.get("tried"):
        found = round(calibration["availability"] * calibration["tried"])
        evidence = calibration.get("evidence")
        on = (
            f"images of {evidence['source']}"
            if evidence
            else "its own references, each without its surroundings"
        )
        lines.append(f"tested on {on}: {found} of {calibration['tried']} localized")
    lines += [f"note: {note}" for note in notes_of(facts.get("provenance", {})).values()]
    lines += map_attach.told(facts.get("relpose_gnn"))
    left_out = facts.get("provenance", {}).get("left_out") or {}
    if left_out:
        name, why = next(iter(left_out.items()))
        lines.append(f"warning: {len(left_out)} images left out; {name}: {why}")
    return "\n".join(lines)


def _add_trust(parser: CommandParser) -> None:
    parser.add_argument(
        "--trust-poses",
        action="store_true",
        help="do not compare frames: by default images that the map recognizes elsewhere, all moved alike, "
        "are taken to be in another frame and refused",
    )


def _add_build_options(parser: CommandParser, *, extracting: bool = True) -> None:
    """The fields of BuildOptions that are a user's business; not given, the library's value stands."""
    group = parser.add_argument_group("how the map is made")
    if extracting:
        group.add_argument("--max-keypoints", type=int, metavar="N", help="features in each image")
        group.add_argument(
            "--condition", metavar="TEXT", help="noted with every reference: night, winter, 2024-05-03"
        )
    group.add_argument(
        "--pair-neighbours", type=int, metavar="N", help="how many others each reference is matched with"
    )
    group.add_argument("--retrieval", type=Path, metavar="FILE", help=RETRIEVAL_HELP)
    group.add_argument("--relpose-gnn", type=Path, metavar="FILE", help=map_attach.NETWORK_HELP)
    group.add_argument(
        "--calibration-samples", type=int, metavar="N", help="references held out to calibrate, at most"
    )
    group.add_argument("--seed", type=int, metavar="N", help="everything random follows from it (default 0)")


def _build_options(args: argparse.Namespace) -> BuildOptions:
    from relpose_ros.maps.assemble import BuildOptions

    check_numbers(args)
    given = {f.name: getattr(args, f.name, None) for f in fields(BuildOptions)}
    return BuildOptions(**{name: value for name, value in given.items() if value is not None})


def check_numbers(args: argparse.Namespace) -> None:
    """Raise ConfigurationError for a number that is less than `LEAST` says."""
    for name, least in LEAST.items():
        value = getattr(args, name, None)
        if value is not None and value < least:
            raise ConfigurationError(f"--{name.replace('_', '-')}: expected {least} or more, got {value}")


def _add_out(parser: CommandParser) -> None:
    parser.add_argument("--out", required=True, type=Path, metavar="MAP", help="the map to write (*.relmap)")
