"""`relpose map attach`: describe a map's references for a network that regresses relative poses."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli.inputs import SOURCE_HELP, add_source_arguments, open_from
from relpose_ros.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relpose_ros.cli.parser import Subparsers

NETWORK_HELP = (
    "checkpoint (.safetensors, relpose_gnn.*) of a network that regresses relative poses: the map keeps a "
    "descriptor of each reference for it (default: none)"
)

DESCRIPTION = """\
Describe the references of MAP for a network that regresses relative poses, and find out what it is worth
in this map: references are asked about as if they were queries, without their surroundings. SOURCE... have
the images that the map was made of: all of them, in the order in which they were added. A map that was built
with --relpose-gnn needs no attaching."""


def add_parser(actions: Subparsers) -> None:
    """Add the action to those of `relpose map`."""
    attach = actions.add_parser(
        "attach",
        help="describe the references for a network of relative poses",
        description=DESCRIPTION,
        examples="relpose map attach office.relmap my_images/ --relpose-gnn poses.safetensors "
        "--out office_gnn.relmap\n"
        "relpose map attach both.relmap first_drive/ second_drive/ --relpose-gnn poses.safetensors "
        "--out both_gnn.relmap\n"
        "relpose localize --map office_gnn.relmap --relative-checkpoint poses.safetensors image.jpg "
        "--camera camera.yaml",
    )
    attach.add_argument("map", type=Path, metavar="MAP")
    attach.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    add_source_arguments(attach, positional=False)
    attach.add_argument("--relpose-gnn", type=Path, required=True, metavar="FILE", help=NETWORK_HELP)
    attach.add_argument("--out", required=True, type=Path, metavar="MAP", help="the map to write (*.relmap)")
    attach.add_argument(
        "--calibration-samples", type=int, default=None, metavar="N", help="references asked about, at most"
    )


def run(args: argparse.Namespace) -> int:
    """Attach and say what came of it."""
    from relpose_ros.cli.map import check_numbers, made_text
    from relpose_ros.localization.mapping import attach_network
    from relpose_ros.maps.assemble import BuildOptions

    check_numbers(args)
    options = BuildOptions()
    if args.calibration_samples is not None:
        options = replace(options, calibration_samples=args.calibration_samples)
    sources = [open_from(argparse.Namespace(**{**vars(args), "source": path})) for path in args.sources]
    with progress_bar("attaching") as progress:
        made = attach_network(args.map, sources, args.relpose_gnn, args.out, options, progress)
    print(made_text(made))
    return 0


def told(network: Mapping[str, Any] | None) -> list[str]:
    """What a person wants to know of a network that a map was calibrated for."""
    from relpose_ros.localization.graph_agreement import MIN_SAMPLES

    known = (network or {}).get("calibration", {}).get("regression")
    if network is None or known is None:
        return []
    refined = network["calibration"]["regression_refined"]
    found, right = known["availability"], known["share_right"]
    alone = f"{found:.0%} published by regression alone ({right:.0%} of such poses right)"
    if known["samples"] < MIN_SAMPLES:
        alone = f"too few right for regression alone ({known['samples']}; {MIN_SAMPLES} are needed)"
    return [
        f"relative poses by {network['checkpoint']}, tested alike: {alone}, "
        f"{refined['availability']:.0%} refined by landmarks"
    ]
