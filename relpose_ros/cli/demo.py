"""`relpose demo`: the whole chain, from posed images to the report on a running node."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.cli.inputs import SOURCE_HELP, add_source_arguments, open_from

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers

DESCRIPTION = """\
Without --data: render a furnished world, record a mapping drive and a query drive as rosbag2, build
the map from the mapping bag, start the localizer node as a process of its own, play the query bag to
it over DDS, and score what it publishes.
With --data: the same on real images: a map of the references of SOURCE, its queries as a bag.
Everything is written to --out; what an earlier demo left there is replaced."""

EXAMPLES = """\
relpose demo                                    a simulated office, about two minutes
relpose demo --quick                            smaller images and fewer of them
relpose demo --data my_images/ --out demo-mine  real images: the query images of the folder"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="the whole chain: world, map, nodes, report",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    parser.add_argument("--data", metavar="SOURCE", help=f"real images instead of a world; {SOURCE_HELP}")
    add_source_arguments(parser, positional=False)
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="FOLDER", help="default: demo-out/"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="everything random follows from it")
    parser.add_argument("--quick", action="store_true", help="smaller and sooner done, for a first look")
    parser.add_argument("--profile", default="default", metavar="NAME", help="default, fast or accurate")
    parser.add_argument(
        "--offline", action="store_true", help="no nodes: localize in this process (always so without ROS 2)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo. Returns its exit status."""
    from relpose_ros.cli.demonstration import DemoOptions, run_demo

    source = None
    if args.data is not None:
        args.source = args.data
        source = open_from(args)
    options = DemoOptions(args.out, source, args.seed, args.quick, args.profile, args.offline)
    return run_demo(options)
