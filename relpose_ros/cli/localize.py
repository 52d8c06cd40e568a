"""`relpose localize`: images and a map -> one answer an image."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from relpose_ros.cli.inputs import CAMERA_HELP, add_map_arguments, make_camera, open_localizer, split_camera
from relpose_ros.errors import ConfigurationError, ImageError

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers

DESCRIPTION = """\
Say where a camera is. One answer an image: a pose (map_from_camera, OpenCV camera axes) with its
covariance, or "unlocalized" and why. The exit status is 0 also then; it is 2 if an image, the camera
or the map cannot be used."""

EXAMPLES = """\
relpose localize --map office.relmap image.jpg --camera camera.yaml
relpose localize --scene office.safetensors image.jpg --camera camera.yaml
relpose localize --map office.relmap --retrieval places.safetensors image.jpg --camera camera.yaml
relpose localize --map office.relmap a.jpg b.jpg --camera 525 525 319.5 239.5 640 480
relpose localize --map office.relmap *.png --camera 525 525 319.5 239.5 640 480 -0.28 0.07 1e-4 0 --json"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "localize", help="where was the camera of these images?", description=DESCRIPTION, examples=EXAMPLES
    )
    parser.intermixed = True
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files, all of the same camera")
    add_map_arguments(parser)
    parser.add_argument("--camera", required=True, nargs="+", metavar="CAMERA", help=CAMERA_HELP)
    parser.add_argument("--json", action="store_true", help="one line of JSON an image")


def run(args: argparse.Namespace) -> int:
    """Localize every image. Returns 2 if one of them could not be read, else 0."""
    words, swallowed = split_camera(args.camera)
    images = [*args.images, *swallowed]
    if not images:
        raise ConfigurationError("expected at least one image, got none; see `relpose localize --help`")
    camera = make_camera(words)
    opened, localizer = open_localizer(args)
    metric = bool(opened.info().get("metric", True))

    from relpose_ros.cli.answers import describe
    from relpose_ros.types import Frame

    status = 0
    for path in images:
        try:
            frame = replace(Frame.read(path, camera), source=path)
        except ImageError as error:  # the other images still get their answer
            print(f"relpose: error: {error}", file=sys.stderr)
            status = 2
            continue
        answer = localizer.localize(frame)
        print(json.dumps(answer.to_json()) if args.json else describe(answer, metric), flush=True)
    return status
