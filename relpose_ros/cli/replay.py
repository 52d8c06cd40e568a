"""`relpose replay`: play a bag to the localizer node over DDS and score what it publishes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli.inputs import MATCHER_HELP, PRUNER_HELP, RELATIVE_HELP, RETRIEVAL_HELP, SCENE_HELP

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers

DESCRIPTION = """\
Start the localizer node as a process of its own, play a rosbag2 to it over DDS as it was recorded
(with /clock), and score what it publishes. Writes results.json, replay.json (image age, drops,
memory), estimate.tum, ground_truth.tum, report.html and the node's log into --out."""

BAG_HELP = "a rosbag2 with images, CameraInfo and poses, or another posed-image source, as a folder"

EXAMPLES = """\
relpose replay --map office.relmap drive_bag/ --out report/
relpose replay --map office.relmap drive_bag/ --out report/ --rate 0.5
relpose replay --map office.relmap drive_bag/ --out report/ --minutes 10    again and again: a soak test"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "replay",
        help="play a bag to the nodes and score them",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    parser.add_argument("bag", type=Path, metavar="BAG", help=BAG_HELP)
    parser.add_argument("--map", required=True, type=Path, metavar="MAP", help="made by `relpose map build`")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the report goes")
    parser.add_argument("--rate", type=float, default=1.0, metavar="R", help="pace (default 1: as recorded)")
    parser.add_argument("--minutes", type=float, default=0.0, metavar="M", help="loop the bag for M minutes")
    parser.add_argument("--profile", default="default", metavar="NAME", help="default, fast or accurate")
    parser.add_argument("--pruner", default="", metavar="FILE", help=PRUNER_HELP)
    parser.add_argument("--matcher", default="", metavar="FILE", help=MATCHER_HELP)
    parser.add_argument("--scene", default="", metavar="FILE", help=SCENE_HELP)
    parser.add_argument("--retrieval", default="", metavar="FILE", help=RETRIEVAL_HELP)
    parser.add_argument("--relative-checkpoint", default="", metavar="FILE", help=RELATIVE_HELP)
    parser.add_argument("--image-topic", metavar="TOPIC", help="where the bag has several cameras")
    parser.add_argument("--camera-info-topic", metavar="TOPIC", help="default: beside the image topic")
    parser.add_argument("--pose-topic", metavar="TOPIC", help="ground truth (default: TF or pose topic)")
    parser.add_argument(
        "--base-frame", default="", metavar="FRAME", help="whose pose ~/pose gives (default: the camera's)"
    )
    parser.add_argument("--domain", type=int, metavar="N", help="ROS domain to play in (default: a free one)")
    parser.add_argument(
        "--outside",
        action="append",
        type=_stretch,
        default=[],
        metavar="FROM:TO",
        help="seconds of the bag where the camera is where the map is not: any pose there is a false one; "
        "may be given again",
    )
    parser.add_argument(
        "--allow-unscaled-map", action="store_true", help="accept a map whose unit is not the metre"
    )


def run(args: argparse.Namespace) -> int:
    """Hand the options to the replay process: the command line knows no ROS."""
    names = ("rate", "minutes", "profile", "pruner", "matcher", "scene", "retrieval",
             "relative_checkpoint", "image_topic", "camera_info_topic", "pose_topic", "base_frame", "outside",
             "allow_unscaled_map", "domain")  # fmt: skip
    options = {name: getattr(args, name) for name in names}
    return start_replay({**options, **{name: str(getattr(args, name)) for name in ("map", "bag", "out")}})


def start_replay(options: Mapping[str, Any]) -> int:
    """Run the replay process with these fields of its options. Returns its exit status."""
    command = [sys.executable, "-m", "relpose_ros.nodes.replay", json.dumps(options)]
    process = subprocess.Popen(command, env={**os.environ, "RELPOSE_END_WITH_PARENT": "1"})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # Ctrl-C reached the child too, which ends its node and then itself


def _stretch(text: str) -> tuple[float, float]:
    start, colon, end = text.partition(":")
    try:
        stretch = float(start), float(end)
    except ValueError:
        stretch = 1.0, 0.0
    if not colon or not stretch[0] <= stretch[1]:
        raise argparse.ArgumentTypeError(f"expected FROM:TO in seconds, as 44.5:60, got {text!r}")
    return stretch
