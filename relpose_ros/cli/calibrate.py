"""`relpose calibrate`: how far a map's poses are off, learned from images that it was not built from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from relpose_ros.cli.inputs import (
    add_map_arguments,
    add_source_arguments,
    open_from,
    open_localizer,
    positive,
)
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_facts
from relpose_ros.errors import ConfigurationError, DatasetError

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers
    from relpose_ros.datasets.base import PosedImage, Source
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.localization.map_calibration import MapCalibration
    from relpose_ros.maps.bundle import Map

DESCRIPTION = """\
Localize posed images of another drive in a map, fit its covariance to the errors and its confidence to
how often poses are right, and write both into the map, with the evidence. What a fit is worth is judged
on images that it did not see; where it would not be better, the map keeps what it has. Writes a page and
a picture of before and after. In what the map becomes less careful is always said."""

EXAMPLES = """\
relpose calibrate --map office.relmap second_drive/
relpose calibrate --map office.relmap second_drive/ --outside another_building/ --out calibrated.relmap
relpose calibrate --map office.relmap drive_bag/ -o image_topic=/camera/image_raw --dry-run
relpose checkpoint calibrate office.safetensors second_drive/      the same for a scene's network"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit a map's covariance and confidence to images of another drive",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    add_source_arguments(parser)
    add_map_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="MAP", help="where the map goes (default: its place)")
    parser.add_argument("--dry-run", action="store_true", help="judge and draw; leave the map as it is")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="HTML",
        help="default: MAP with .calibration.html; a .png lies beside it",
    )
    parser.add_argument("--limit", type=positive, default=200, metavar="N",
                        help="at most N images, evenly spaced (default: 200)")  # fmt: skip
    parser.add_argument(
        "--split", choices=("query", "map"), default="query",
        help="which images of SOURCE (default: query); references of the map are left out in any case",
    )  # fmt: skip
    parser.add_argument("--outside", action="append", default=[], metavar="SOURCE",
                        help="images of other places: any pose for one is wrong; may be given again",
                        )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Localize, fit, print, draw, write."""
    if args.map is None or args.scene is not None:
        raise ConfigurationError(
            "expected --map MAP alone; a scene's network is calibrated by `relpose checkpoint calibrate`"
        )
    if args.relative_checkpoint is not None:
        raise ConfigurationError(
            "--relative-checkpoint: what a network of relative poses is worth in a map is calibrated by "
            "`relpose map attach`; leave it out"
        )
    from relpose_ros.datasets.open import open_source
    from relpose_ros.evaluation.evaluate import spaced
    from relpose_ros.localization.held_out import localize_held_out
    from relpose_ros.localization.map_calibration import calibrate_map, store
    from relpose_ros.localization.mapping import check_out

    if args.out is not None and not args.dry_run:
        check_out(args.out)
    opened, localizer = cast("tuple[Map, Localizer]", open_localizer(args))
    source = open_from(args, split=args.split)
    images = spaced(_usable(opened, source, args.split), args.limit)
    elsewhere = [i for path in args.outside for i in spaced(open_source(path).images, args.limit)]
    with progress_bar("calibrating") as progress:
        found = localize_held_out(localizer, images, progress)
        outside = localize_held_out(localizer, elsewhere, progress, "other places", outside=True)
    result = calibrate_map(localizer.calibration, found, len(images), outside)
    evidence = {**result.evidence(str(source.path), len(elsewhere), args.profile), **_networks(args)}
    out = args.out or args.map
    page, picture = _draw(args.report or out.with_suffix(".calibration.html"), opened, evidence, result)
    if not args.dry_run:
        store(opened, result, evidence, out)
    print(format_facts({k: v for k, v in evidence.items() if k not in ("before", "less_careful")}))
    for note in result.notes:
        print(note)
    print(f"page: {page}\npicture: {picture}")
    print("the map was not changed (--dry-run)" if args.dry_run else f"{out}: written")
    return 0


def _networks(args: argparse.Namespace) -> dict[str, str]:
    """The file names of what matched and judged matches beside what the profile does."""
    given = {"matcher": args.matcher, "pruner": args.pruner}
    return {name: "none" if path is None else path.name for name, path in given.items()}


def _usable(opened: Map, source: Source, split: str) -> list[PosedImage]:
    """The posed images that the map was not built from. Raises DatasetError where there are none."""
    from relpose_ros.localization.held_out import apart_from
    from relpose_ros.localization.map_calibration import MIN_SAMPLES

    if source.metric != opened.metric:
        units = {True: "in metres", False: "without scale"}
        raise DatasetError(
            f"{source.path}: its poses are {units[source.metric]}, the map's {units[opened.metric]}; give "
            "images that are posed in the map's frame"
        )
    posed = [i for i in source.images if i.split == split and i.map_from_camera is not None]
    fresh = apart_from(opened, posed)
    if len(fresh) < MIN_SAMPLES:
        raise DatasetError(
            f"{source.path}: expected at least {MIN_SAMPLES} posed images of the {split} split that the "
            f"map was not built from, got {len(fresh)} ({len(posed) - len(fresh)} more are its references); "
            "record another drive, or say which images are queries (split.txt in a posed-image folder)"
        )
    return fresh


def _draw(out: Path, opened: Map, evidence: dict[str, Any], result: MapCalibration) -> tuple[Path, Path]:
    from relpose_ros.evaluation.page.calibration import write_calibration_page
    from relpose_ros.evaluation.plots.before_after import BeforeAfter

    facts = {k.replace("_", " "): str(v) for k, v in evidence.items() if k not in ("before", "less_careful")}
    data = BeforeAfter(**vars(result.judgement))
    title = f"Calibration of {opened.name}"
    return write_calibration_page(data, facts, result.notes, out, title)
