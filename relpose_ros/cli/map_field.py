"""`relpose map prune|check|view`: what a map in use needs: thinner, sound, seen."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_table
from relpose_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers
    from relpose_ros.evaluation.plots.map_scene import MapScene
    from relpose_ros.localization.prune import Pruned
    from relpose_ros.maps.bundle import Map
    from relpose_ros.maps.finding import Finding

PRUNE = """\
Drop references that see too little to be of use, and those whose landmarks and view others keep. What
is asked where others keep them: no reference's view loses more than --max-loss of its landmarks, and each
one that goes has one of its condition that stays within --view-change. References of no use go without
that. What is recorded of places that look alike is kept by near views, else the reference stays. Says
what is lost, and localizes the references that went in what stays."""

CHECK = """\
Read and check every byte of a map, then look for what cannot be right (problems), what makes it work
worse (warnings), and what is worth knowing (notes). Exit status: 0 without problems, 1 with some, 2 if
there is no such file."""

VIEW = """\
Draw a map as one HTML page without scripts: references with viewing directions and landmarks from
above and from the side, coverage, conditions in colours, references that see little or match no other,
and what `relpose map check` finds."""


def add_parsers(actions: Subparsers) -> None:
    """Add the actions to those of `relpose map`."""
    prune = actions.add_parser(
        "prune",
        help="drop references that the map can spare",
        description=PRUNE,
        examples="relpose map prune office.relmap --dry-run\n"
        "relpose map prune office.relmap --out thin.relmap",
    )
    prune.add_argument("map", type=Path, metavar="MAP")
    prune.add_argument("--out", type=Path, metavar="MAP", help="the map to write (*.relmap)")
    prune.add_argument("--dry-run", action="store_true", help="say what would go; write nothing")
    prune.add_argument(
        "--max-loss", type=float, metavar="SHARE", help="0 to 1 (default 0.1); 0 keeps every landmark"
    )
    prune.add_argument(
        "--view-change", type=float, metavar="RAD",
        help="parallax and turn within which one view stands for another (default 0.25)",
    )  # fmt: skip
    prune.add_argument(
        "--min-landmarks", type=int, metavar="N", help="a reference that sees fewer goes (default 8)"
    )
    prune.add_argument("--list", action="store_true", help="name every reference that goes")
    check = actions.add_parser("check", help="is it whole and does it make sense", description=CHECK)
    check.add_argument("map", type=Path, metavar="MAP")
    check.add_argument("--json", action="store_true", help="as JSON, with the names of all references meant")
    view = actions.add_parser(
        "view",
        help="one HTML page that shows it",
        description=VIEW,
        examples="relpose map view office.relmap --out office.html\n"
        "relpose map view office.relmap --results report/results.json --out office.html",
    )
    view.add_argument("map", type=Path, metavar="MAP")
    view.add_argument("--out", type=Path, metavar="HTML", help="default: MAP with .html")
    view.add_argument(
        "--results", type=Path, metavar="JSON",
        help="results.json of `relpose evaluate` in this map: also show which references no answer used",
    )  # fmt: skip


def _prune(args: argparse.Namespace) -> int:
    from relpose_ros.localization.prune import prune_map
    from relpose_ros.maps.redundancy import PruneOptions

    if args.dry_run == (args.out is not None):
        raise ConfigurationError("expected either --out MAP or --dry-run")
    names = ("max_loss", "view_change", "min_landmarks")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    with progress_bar("pruning") as progress:
        pruned = prune_map(args.map, args.out, PruneOptions(**given), progress)
    print(pruned_text(pruned))
    if args.list:
        print(
            "\n".join(
                [*(f"useless    {n}" for n in pruned.useless), *(f"redundant  {n}" for n in pruned.redundant)]
            )
        )
    print(f"{args.out}: written" if args.out else "nothing was written (--dry-run)")
    return 0


def pruned_text(pruned: Pruned) -> str:
    """What went and what it costs, in a few lines."""
    counted = {"references": pruned.references, "landmarks": pruned.landmarks,
               "sightings": pruned.sightings, "twin pairs": pruned.twin_pairs}  # fmt: skip
    rows = [
        (name, str(a), "->", str(b), f"{100 * (b - a) / a:+.0f} %" if a else "")
        for name, (a, b) in counted.items()
    ]
    lines = [
        format_table(rows),
        f"{len(pruned.useless)} see too little to be of use, {len(pruned.redundant)} show what others show",
    ]
    if pruned.gone:
        lines.append(
            f"largest loss of a view: {pruned.worst_loss:.0%} of its landmarks ({pruned.worst_view})"
        )
    if pruned.tried:
        median = (
            f", half of them within {pruned.median_error:.3g} {'m' if pruned.map.metric else 'map units'}"
        )
        lines.append(
            f"references that show what others show, localized in what stays by their stored features: "
            f"{pruned.found} of {pruned.tried}{median if pruned.median_error is not None else ''}"
        )
    return "\n".join(lines)


def _check(args: argparse.Namespace) -> int:
    from relpose_ros.maps.check import check_file, is_healthy

    map_, found = check_file(args.map)
    if args.json:
        print(json.dumps({"healthy": is_healthy(found), "findings": [asdict(f) for f in found]}))
    else:
        print(findings_text(args.map, map_, found))
    return 0 if is_healthy(found) else 1


def findings_text(path: Path, map_: Map | None, found: list[Finding]) -> str:
    """A line on the whole, then two lines a finding."""
    count = {grade: sum(f.grade == grade for f in found) for grade in ("problem", "warning", "note")}
    size = f"{len(map_)} references, {len(map_.landmarks)} landmarks, every block read; " if map_ else ""
    head = f"{path}: {size}{', '.join(f'{n} {grade}s' for grade, n in count.items())}"
    return "\n".join([head, *(f"{f.grade.value:<8} {f.what}\n         -> {f.advice}" for f in found)])


def _view(args: argparse.Namespace) -> int:
    from relpose_ros.evaluation.page.map_view import write_map_page
    from relpose_ros.evaluation.usage import read_usage
    from relpose_ros.maps.bundle import Map
    from relpose_ros.maps.check import check_map

    opened = Map.open(args.map)
    usage = None if args.results is None else read_usage(args.results)
    written = write_map_page(
        scene_of(opened, usage),
        opened.info(),
        args.out or args.map.with_suffix(".html"),
        conditions=condition_table(opened)[1:],
        findings=[(f.grade.value, f.what, f.advice) for f in check_map(opened)],
    )
    print(f"page: {written}")
    return 0


def scene_of(map_: Map, used: dict[str, int] | None = None) -> MapScene:
    """What is drawn of a map."""
    from relpose_ros.evaluation.plots.map_scene import MapScene
    from relpose_ros.maps.conditions import shown_condition
    from relpose_ros.maps.covisibility import Covisibility

    seen = Covisibility.of(map_)
    return MapScene(
        names=map_.reference_names,
        map_from_camera=map_.reference_poses,
        points=map_.landmark_points[:],
        landmarks=seen.landmarks,
        partners=seen.partners(),
        conditions=[shown_condition(c) for c in map_.conditions],
        metric=map_.metric,
        used=used,
    )


def condition_table(map_: Map) -> list[tuple[str, ...]]:
    """A head and a row a condition."""
    from relpose_ros.maps.conditions import facts_by_condition

    rows = [(f.name, str(f.references), str(f.landmarks), str(f.shared)) for f in facts_by_condition(map_)]
    return [("condition", "references", "landmarks", "shared with others"), *rows]


ACTIONS = {"prune": _prune, "check": _check, "view": _view}
