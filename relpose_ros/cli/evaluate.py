"""`relpose evaluate`: localize the query images of a source offline and score the answers."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.cli.evaluate_tracking import add_odometry_arguments, check_odometry, evaluate_with_odometry
from relpose_ros.cli.inputs import (
    add_map_arguments,
    add_source_arguments,
    open_from,
    open_localizer,
    positive,
)
from relpose_ros.cli.progress import progress_bar
from relpose_ros.errors import DatasetError

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers

DESCRIPTION = """\
Localize every query image of SOURCE in a map and score the answers: availability, errors, recall,
consistency of the covariance, false poses, latency by stage. Writes results.json, estimate.tum,
ground_truth.tum and report.html (one self-contained file) into --out."""

EXAMPLES = """\
relpose evaluate --map office.relmap my_images/ --out report/
relpose evaluate --map office.relmap drive_bag/ -o image_topic=/camera/image_raw --out report/
relpose evaluate --scene office.safetensors my_images/ --out report/
relpose evaluate --map office.relmap my_images/ --outside another_building/ --out report/
relpose evaluate --map office.relmap my_images/ --odometry simulated:1 --kidnap-at 4 --out report/"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "evaluate", help="score the query images of a source", description=DESCRIPTION, examples=EXAMPLES
    )
    add_source_arguments(parser)
    add_map_arguments(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the report goes")
    parser.add_argument("--limit", type=positive, metavar="N", help="only N queries, evenly spaced")
    parser.add_argument(
        "--outside",
        action="append",
        default=[],
        metavar="SOURCE",
        help="images that the map does not contain: any pose for one is a false one; may be given again",
    )
    parser.add_argument(
        "--condition", metavar="TEXT",
        help="what all queries are like (night, winter; default: what SOURCE says): the report counts by it",
    )  # fmt: skip
    add_odometry_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the results."""
    from relpose_ros.datasets.open import open_source
    from relpose_ros.evaluation.evaluate import MapFacts, answers, write_evaluation
    from relpose_ros.evaluation.provenance import command_line
    from relpose_ros.evaluation.table import format_table

    check_odometry(args)
    source = open_from(args, split="query")
    if not source.queries:
        raise DatasetError(
            f"{args.source}: expected query images, got none among its {len(source.images)} images; "
            "say which ones are queries (split.txt in a posed-image folder)"
        )
    if args.condition:
        source = replace(source, images=tuple(replace(i, condition=args.condition) for i in source.images))
    outside = [image for path in args.outside for image in open_source(path).images]
    opened, localizer = open_localizer(args)
    conditions = dict(zip(opened.reference_names, opened.conditions, strict=True))
    facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points, conditions)
    with progress_bar("localizing") as progress:
        records = answers(localizer, source, outside=outside, progress=progress, limit=args.limit)
    results = write_evaluation(records, args.out, facts, source=source, command=command_line())
    if not args.json:  # at once: a kidnapping may yet be refused, and this took minutes
        print(f"{format_table(results)}\n\nreport: {args.out / 'report.html'}", flush=True)
    if args.odometry is not None:
        found, table = evaluate_with_odometry(args, records, facts, source)
        results = {**results, "tracking": found}
        if not args.json:
            print(f"\n{table}")
    if args.json:
        print(json.dumps(results))
    return 0
