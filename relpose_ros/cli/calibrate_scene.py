"""`relpose checkpoint calibrate`: how far a scene's network is off, written into its checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.cli.inputs import add_source_arguments, open_from, positive
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_facts
from relpose_ros.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relpose_ros.cli.parser import CommandParser
    from relpose_ros.datasets.base import PosedImage, Source


def add_arguments(parser: CommandParser) -> None:
    """FILE, SOURCE and what may be chosen."""
    parser.add_argument("file", type=Path, metavar="FILE", help="checkpoint of a scene-coordinate network")
    add_source_arguments(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the checkpoint goes (default: its place)"
    )
    parser.add_argument("--limit", type=positive, default=100, metavar="N",
                        help="at most N images, evenly spaced (default: 100)")  # fmt: skip
    parser.add_argument(
        "--split", choices=("query", "map"), default="query",
        help="which images of SOURCE; those of `map` were trained on, as a rule: errors would look too small",
    )  # fmt: skip
    parser.add_argument("--outside", action="append", default=[], metavar="SOURCE",
                        help="images of other places: what agrees there agrees by chance; may be given again",
                        )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Localize the images, fit, print, write."""
    from relpose_ros.checkpoints.scene import ScenePredictor
    from relpose_ros.datasets.open import open_source
    from relpose_ros.evaluation.evaluate import spaced
    from relpose_ros.localization.scene_calibration import check_units

    source = open_from(args, split=args.split)
    images = spaced(_posed(source, args.split), args.limit)
    outside = [image for path in args.outside for image in spaced(open_source(path).images, args.limit)]
    predictor = ScenePredictor(args.file)
    check_units(predictor.scene, args.file, source.metric, source.path)
    calibrate_on(args.file, images, outside, args.out or args.file)
    return 0


def calibrate_on(file: Path, images: Sequence[PosedImage], outside: Sequence[PosedImage], out: Path) -> None:
    """Localize images that the network was not trained on, fit, print, and write the checkpoint to `out`.

    `outside`: images of other places. Raises DatasetError where too few images are localized.
    """
    from relpose_ros.checkpoints.scene import ScenePredictor
    from relpose_ros.localization.scene_calibration import calibrate_scene, write_calibration

    with progress_bar("calibrating") as progress:
        found = calibrate_scene(ScenePredictor(file), images, outside, progress=progress)
    write_calibration(file, out, found.calibration)
    fitted = found.calibration
    facts = {
        "images": found.tried,
        "localized": found.usable,
        "wrong poses among them": found.wrong,
        "support by chance": f"{found.chance} patches of cells; {fitted.min_inliers} are needed",
        "coverage before": f"{found.coverage_before:.1%} of errors in the 95 % region",
        "coverage after": f"{found.coverage_after:.1%}, each half by the calibration of the other",
        "scale": f"{fitted.scale:.3g}",
        "floor": f"translation {fitted.translation_floor:.3g}, rotation {fitted.rotation_floor:.3g}",
        "view slope": f"{fitted.view_slope:.3g}",
        "written": out,
    }
    print(format_facts(facts))


def _posed(source: Source, split: str) -> list[PosedImage]:
    posed = [i for i in source.images if i.split == split and i.map_from_camera is not None]
    if not posed:
        raise DatasetError(
            f"{source.path}: expected images with a pose in the {split} split, got none among its "
            f"{len(source.images)} images; say which ones are queries (split.txt in a posed-image folder), "
            "or take --split map, knowing that they were trained on"
        )
    return posed
