"""`relpose show uncertainty`: pictures of what a network says and of how far it is off."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli.inputs import add_source_arguments, open_from, positive
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_table

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers

EXAMPLES = """\
relpose show uncertainty office.safetensors office/ --out pictures/
relpose show uncertainty office.safetensors drive_bag/ --images 50 --out pictures/"""

UNCERTAINTY = """\
For each posed query image of SOURCE (each posed image, if there are no queries): the image, the scene
coordinates as colours, the standard deviation that the network predicts, and the error, side by side as one
PNG. The error is the distance to the known coordinate where depth or labels give it, else the reprojection
error at the true pose. Writes them, index.html (self-contained) and summary.json into --out, and prints
Spearman's rank correlation between predicted deviation and error."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser("show", help="pictures of what a network says", examples=EXAMPLES)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    uncertainty = actions.add_parser(
        "uncertainty",
        help="scene coordinates, their predicted uncertainty and their error",
        description=UNCERTAINTY,
        examples=EXAMPLES,
    )
    uncertainty.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="of a scene-coordinate network (.safetensors)"
    )
    add_source_arguments(uncertainty)
    uncertainty.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the files go")
    uncertainty.add_argument(
        "--images", type=positive, metavar="N", help="at most N images, evenly spaced (default: all)"
    )
    uncertainty.add_argument("--json", action="store_true", help="print summary.json instead of a table")


def run(args: argparse.Namespace) -> int:
    """Run one action; there is one so far."""
    from relpose_ros.checkpoints.scene import ScenePredictor
    from relpose_ros.evaluation.uncertainty import show_uncertainty

    predictor = ScenePredictor(args.checkpoint)  # refused before a bag is read
    source = open_from(args, split="query")
    about = {
        "checkpoint": args.checkpoint.name,
        "sha256": predictor.identity,
        "network": predictor.info.network,
        "metric": predictor.scene.metric,
    }
    with progress_bar("predicting") as progress:
        summary = show_uncertainty(
            predictor, source, args.out, limit=args.images, about=about, progress=progress
        )
    if args.json:
        print(json.dumps(summary))
        return 0
    print(summary_table(summary))
    for name, why in summary["left_out"].items():
        print(f"warning: {name} was left out: {why}")
    print(f"\npictures: {args.out / 'index.html'}")
    return 0


def summary_table(summary: dict[str, Any]) -> str:
    """A row an image, then one over all images for each unit of error."""
    from relpose_ros.evaluation import words
    from relpose_ros.evaluation.page.uncertainty import error_words

    rows = [("image", "cells", "median error", "median deviation", "spearman", "coverage at 95 %")]
    named = [(row["image"], row) for row in summary["per_image"]]
    named += [(f"all ({unit})", row) for unit, row in summary["all"].items()]
    for name, row in named:
        deviation = words.length(row["median_deviation_m"])
        coverage = words.percent(row["coverage_95"], 0)
        correlation = words.number(row["spearman"])
        rows.append((name, str(row["cells"]), error_words(row), deviation, correlation, coverage))
    return format_table(rows)
