"""`relpose localize`: images and a map -> one answer an image."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from relpose_ros.cli.inputs import CAMERA_HELP, add_map_arguments, make_camera, open_localizer, split_camera
from relpose_ros.errors import CameraError, ConfigurationError, ImageError, MapError, RelposeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relpose_ros.cli.parser import Subparsers
    from relpose_ros.localization.hint import Hint
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.types import Localization

DESCRIPTION = """\
Say where a camera is. One answer an image: a pose (map_from_camera, OpenCV camera axes) with its
covariance, or "unlocalized" and why. The exit status is 0 also then; it is 2 if an image, the camera
or the map cannot be used.

With --rig, cameras that are fixed to one base are one query, and the answer is the pose of the base
(map_from_base). Mounts are in metres, so the map must be too. RIG is a YAML file; the paths in it are
relative to it:

  cameras:
    front:                  # its name in the answer
      image: front.png
      camera: front.yaml    # a ROS camera-info YAML
      base_from_camera: [0.30, 0.0, 0.50, -0.5, 0.5, -0.5, 0.5]
                            # the optical frame in the base: x y z qx qy qz qw
      mask: body.png        # optional: 0 marks the pixels to ignore
      stamp: 12.5           # optional: seconds
    left: ...
  tolerance: 0.01           # optional: seconds that stamps may differ
  mount_sigma: [0.005, 0.0035]
                            # optional: standard deviations of the mounts, metres and radians (these are
                            # the default), of all but the first, which says where the base is; or of
                            # one camera, beside its image

With --hint, somebody knows about where the camera (of --rig: the base) is. References round there are asked
too, and of places that look alike the one that fits is taken; what stands by the hint alone is "degraded".
HINT is "x y z yaw" (map units and radians; the map's z is up, and the camera looks level to where yaw points:
0 along x, pi/2 along y), or the whole pose, "x y z qx qy qz qw" as answers have it."""

EXAMPLES = """\
relpose localize --map office.relmap image.jpg --camera camera.yaml
relpose localize --scene office.safetensors image.jpg --camera camera.yaml
relpose localize --map office.relmap --retrieval places.safetensors image.jpg --camera camera.yaml
relpose localize --map office.relmap a.jpg b.jpg --camera 525 525 319.5 239.5 640 480
relpose localize --map office.relmap *.png --camera 525 525 319.5 239.5 640 480 -0.28 0.07 1e-4 0 --json
relpose localize --map office.relmap image.jpg --camera camera.yaml --mask robot.png
relpose localize --map office.relmap --rig rig.yaml
relpose localize --map office.relmap image.jpg --camera camera.yaml --hint "3 -1.5 0.4 1.57"
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "localize", help="where was the camera of these images?", description=DESCRIPTION, examples=EXAMPLES
    )
    parser.intermixed = True
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files, all of the same camera")
    add_map_arguments(parser)
    parser.add_argument("--camera", nargs="+", metavar="CAMERA", help=CAMERA_HELP)
    parser.add_argument(
        "--mask", metavar="FILE", help="PNG of the size of the images: what lies where it is 0 is not used"
    )
    parser.add_argument("--rig", nargs="+", metavar="RIG", help="files of rigs in place of images, see above")
    parser.add_argument("--hint", metavar="HINT", help="about where the camera or the base is, see above")
    parser.add_argument(
        "--hint-std",
        nargs=2,
        type=float,
        default=(0.5, 15.0),
        metavar=("DISTANCE", "DEGREES"),
        help="standard deviations of the hint, on each axis in map units and about it (default: 0.5 15)",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON an image")


def run(args: argparse.Namespace) -> int:
    """Localize every image, or every rig. Returns 2 if one of them could not be read, else 0."""
    if args.rig is None and args.camera is None:
        raise ConfigurationError("expected --camera CAMERA for the images, or --rig RIG; got neither")
    if args.rig is not None and (args.camera is not None or args.mask is not None or args.images):
        raise ConfigurationError("--rig names images, cameras and masks itself: give it alone")
    if args.hint is not None and args.map is None:
        raise ConfigurationError("--hint says where in a map to look: give it --map MAP")
    return _run_rigs(args) if args.rig is not None else _run_images(args)


def _run_images(args: argparse.Namespace) -> int:
    words, swallowed = split_camera(args.camera)
    images = [*args.images, *swallowed]
    if not images:
        raise ConfigurationError("expected at least one image, got none; see `relpose localize --help`")
    camera = make_camera(words)

    from relpose_ros.datasets.rig_files import read_mask
    from relpose_ros.types import Frame

    mask = read_mask(args.mask) if args.mask is not None else None
    known = _hint(args)
    opened, localizer = open_localizer(args)

    def answer(path: str) -> Localization:
        frame = replace(Frame.read(path, camera, mask=mask), source=path)
        return (
            localizer.localize(frame)
            if known is None
            else cast("Localizer", localizer).localize(frame, known)
        )

    return _answer_each(images, answer, bool(opened.info().get("metric", True)), args.json)


def _run_rigs(args: argparse.Namespace) -> int:
    if args.map is None:
        raise ConfigurationError("--rig finds one pose over the landmarks of a map: give it --map MAP")
    known = _hint(args)
    opened, localizer = open_localizer(args)
    in_map = cast("Localizer", localizer)  # there is a map

    from relpose_ros.datasets.rig_files import read_rig

    def answer(path: str) -> Localization:
        rig = read_rig(path)
        found = in_map.localize_rig(rig) if known is None else in_map.localize_rig(rig, known)
        return replace(found, source=path)

    metric = bool(opened.info().get("metric", True))
    of_one = (CameraError, ConfigurationError, ImageError, MapError)
    return _answer_each(args.rig, answer, metric, args.json, of_one)


def _hint(args: argparse.Namespace) -> Hint | None:
    """Raises ConfigurationError where the hint is none."""
    if args.hint is None:
        return None
    from relpose_ros.localization.hint import hint_from_numbers

    try:
        numbers = [float(word) for word in args.hint.replace(",", " ").split()]
        distance, degrees = args.hint_std
        return hint_from_numbers(numbers, distance, degrees, of_camera=args.rig is None)
    except ValueError as error:
        raise ConfigurationError(f"--hint {args.hint!r}: {error}") from error


def _answer_each(
    paths: Sequence[str],
    answer: Callable[[str], Localization],
    metric: bool,
    as_json: bool,
    of_one: tuple[type[RelposeError], ...] = (ImageError,),
) -> int:
    """`of_one`: errors of a single file, which keep no other from its answer."""
    from relpose_ros.cli.answers import describe

    status = 0
    for path in paths:
        try:
            found = answer(path)
        except of_one as error:
            why = str(error).removeprefix(f"{Path(path)}: ").removeprefix(f"{Path(path).name}: ")
            print(f"relpose: error: {path}: {why}", file=sys.stderr)
            status = 2
            continue
        print(json.dumps(found.to_json()) if as_json else describe(found, metric), flush=True)
    return status
