"""`relpose translate CHECKPOINT FOLDER --out FOLDER`: rendered images made to look real."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers

DESCRIPTION = """\
Translate the images of a posed folder (images/, poses.txt) with a checkpoint of `relpose train cut`. The new
folder has the same names, poses, cameras and splits, and can be prepared as training data."""

EXAMPLES = """\
relpose train cut --config config/training/cut.yaml source=rendered/ target=photos/ out=run/
relpose translate run/best.safetensors rendered/ --out refined/ --link-depth
relpose prepare scene refined/ --out scene/"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "translate",
        help="make images of one domain look like another's (CUT)",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    parser.intermixed = True
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="of `relpose train cut`")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="images/ and poses.txt")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument(
        "--link-depth", action="store_true", help="link to the depth images, which still hold; default: none"
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="for the network")


def run(args: argparse.Namespace) -> int:
    """Translate all images; returns the exit status."""
    from relpose_training.commands.progress import progress_line
    from relpose_training.engine.device import find_device
    from relpose_training.recipes.cut.translation import translate_folder

    with progress_line() as progress:
        count = translate_folder(
            args.checkpoint,
            args.folder,
            args.out,
            find_device(args.device),
            link_depth=args.link_depth,
            progress=progress,
        )
    print(f"{args.out}: {count} images")
    return 0
