"""`relpose test atloc`: the errors of regressed poses, in the columns of the others' tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relpose_ros.datasets.base import Source
    from relpose_training.recipes.atloc.examination import ImageResult, Subject

HELP = "absolute poses regressed from single images (a baseline)"

EXAMPLES = """\
relpose test atloc run/best.safetensors 7scenes/chess --out report/
relpose test atloc run/best.safetensors prepared/ --split val         shards of `relpose prepare scene`"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the test."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a .safetensors file")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="posed images of the same scene, or its shards. Tested are the queries (all posed images, if "
        "there are none)",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for results.json and table.txt")
    parser.add_argument("--split", default="test", metavar="NAME", help="of shards (default: test)")
    parser.add_argument("--format", metavar="NAME", help="of a source, where it is not recognised")
    parser.add_argument("--images", type=int, metavar="N", help="at most so many")
    parser.add_argument(
        "--gates",
        default="indoor",
        choices=("indoor", "aerial"),
        help="indoor: 5 cm 5 deg, 2 cm 2 deg, 1 cm 1 deg; aerial: CrossLoc's",
    )


def run(args: argparse.Namespace) -> int:
    """Test, print the table, leave files where they are asked for; returns the exit status."""
    from relpose_ros.errors import ConfigurationError
    from relpose_ros.evaluation.evaluate import spaced
    from relpose_ros.evaluation.uncertainty import posed_images
    from relpose_training.commands.progress import progress_line
    from relpose_training.recipes.atloc.examination import examine, load_subject
    from relpose_training.recipes.scene_coordinates.sources import open_tested

    if args.images is not None and args.images < 1:
        raise ConfigurationError(f"expected --images of 1 or more, got {args.images}")
    subject = load_subject(args.checkpoint)
    source = open_tested(args.source, args.split, args.format)
    images = spaced(posed_images(source), args.images)
    with progress_line() as progress:
        results = examine(subject, images, progress)
    print(report(results, subject, source, args))
    return 0


def report(results: Sequence[ImageResult], subject: Subject, source: Source, args: argparse.Namespace) -> str:
    """The table as text; with `--out` also in table.txt, and results.json with every image."""
    import numpy as np

    from relpose_ros.evaluation.files import plain, write_text
    from relpose_ros.evaluation.metrics import median
    from relpose_ros.evaluation.pose_table import AERIAL, INDOOR, format_pose_table, summarise_poses

    gates = INDOOR if args.gates == "indoor" else AERIAL
    far, turned, spent = zip(*((r.translation, r.rotation_deg, r.network_ms) for r in results), strict=True)
    summary: dict[str, Any] = {"queries": len(results), **summarise_poses(far, turned, gates)}
    summary["network_ms"] = median(np.array(spent))
    times = {"network": lambda row: f"{row['network_ms']:.0f} ms"}
    table = format_pose_table({source.name: summary}, source.metric, times)
    if args.out is not None:
        info = subject.info
        head = {"network": info.network, "origin": info.origin, "data": info.data, "source": str(source.path)}
        content = {**head, **summary, "images": [vars(result) for result in results]}
        write_text(args.out / "results.json", json.dumps(plain(content), indent=1))
        write_text(args.out / "table.txt", f"{table}\n")
    return table
