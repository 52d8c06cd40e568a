"""`relpose learn`: images with poses in, the network that localizes a robot among them out; one command."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands.progress import progress_line
from relpose_training.commands.scene import add_sources, labelled_splits, scene_options

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers
    from relpose_ros.datasets.base import PosedImage
    from relpose_training.engine.recipe import Recipe

DESCRIPTION = """\
Learn a place from images with poses, and depth or landmarks: a network of 2 MB that says of each part of an
image which point of the place it shows. It is trained on part of the images within the given time, and its
uncertainty is calibrated on the others. Then:
  relpose localize --scene FILE IMAGE       relpose show uncertainty FILE SOURCE
  ros2 run relpose_ros scene_coordinate_node --ros-args -p scene.checkpoint:=FILE"""

EXAMPLES = """\
relpose learn office/ --out office.safetensors                           images/, poses.txt and depth/
relpose learn office/ --landmarks office.relmap --out office.safetensors --minutes 20
relpose learn drive_bag/ --every 3 --out drive.safetensors"""

HELD_OUT = 0.15
"""Share of the images that choose the best weights and calibrate them."""

LARGEST_HEIGHT = 480
"""Short side of what the network sees, px; smaller images are not enlarged."""

CALIBRATION_SECONDS = 0.4
"""Kept back for each held-out image: an image is localized twice."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "learn",
        help="learn a place from posed images: one command, minutes",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    add_sources(parser)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="the checkpoint, *.safetensors"
    )
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="for all of it (default 10)")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="so many, whatever time they take: the same weights again"
    )
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER",
        help="keep the set and the run here, with curves; given again, an interrupted run goes on",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it")


def run(args: argparse.Namespace) -> int:
    """Prepare, train, calibrate; returns the exit status."""
    started = time.monotonic()
    if args.out.suffix != ".safetensors" or not args.out.absolute().parent.is_dir():
        raise ConfigurationError(f"expected --out FILE.safetensors in a folder that exists, got {args.out}")
    if not args.minutes > 0 or (args.steps is not None and args.steps < 1):
        raise ConfigurationError("expected --minutes above 0 and --steps of 1 or more")
    work = args.work or args.out.with_suffix(".work")
    splits = _prepared(args, work / "set")
    trained = _trained(args, work, len(splits["val"]), started)
    if trained is None:
        return 143
    _calibrated(trained, args.out, splits["val"])
    if args.work is None:
        shutil.rmtree(work)
    print(
        f"{args.out}: {args.out.stat().st_size / 1e6:.2g} MB in {(time.monotonic() - started) / 60:.1f} min"
    )
    return 0


def _prepared(args: argparse.Namespace, folder: Path) -> dict[str, list[PosedImage]]:
    """The set in `folder`, made if it is not there; returns the images of its splits."""
    from relpose_training.data.scene_set import prepare_scene
    from relpose_training.data.shards import ShardSet

    shares = {"train": 1 - HELD_OUT, "val": HELD_OUT}
    splits, facts, landmarks = labelled_splits(args, shares, "none")
    if not (folder / "val.json").is_file():
        with progress_line() as progress:
            prepare_scene(splits, folder, 1, facts, scene_options(args), landmarks, progress)
    elif (names := ShardSet(folder, "val").index.meta["names"]) != [image.name for image in splits["val"]]:
        raise ConfigurationError(
            f"{folder}: a set of other images ({names[0]}, ...) lies there; choose another --work"
        )
    return splits


def _trained(args: argparse.Namespace, work: Path, held_out: int, started: float) -> Path | None:
    """The best checkpoint of the run in `work`; None if it was stopped by SIGTERM."""
    from relpose_training.commands.reporting import say_result, training_progress
    from relpose_training.data.shards import ShardSet
    from relpose_training.engine.device import Place, run_on_device
    from relpose_training.engine.lock import folder_lock
    from relpose_training.engine.loop import train
    from relpose_training.engine.results import BEST
    from relpose_training.engine.time_budget import Budget, within
    from relpose_training.recipes.scene_cells.config import SceneCellsConfig
    from relpose_training.recipes.scene_cells.recipe import SceneCellsRecipe

    meta = ShardSet(work / "set", "train").index.meta
    config = SceneCellsConfig(
        steps=args.steps or 1,
        out=work / "run", data=str(work / "set"), seed=args.seed, licence=str(meta["licence"]),
        height=min(LARGEST_HEIGHT, round(min(meta["mean_image_size"]))),
        validate_every=2000, save_every=500, log_every=100,
    )  # fmt: skip

    def body(device: Any) -> int:
        recipe: Recipe[Any] = SceneCellsRecipe(config)
        with folder_lock(config.out, wanted=True), training_progress(True) as progress:
            if args.steps is None:
                recipe.progress = progress
                recipe.training_data(Place())  # described once, before steps are timed
                minutes = args.minutes - CALIBRATION_SECONDS * held_out / 60
                recipe, why = within(recipe, device, Budget(minutes, started))
                print(why, file=sys.stderr)
            return train(recipe, device, progress, lock=False)

    status = run_on_device(config.device, body)
    say_result(config.out, status)
    return None if status else config.out / BEST


def _calibrated(trained: Path, out: Path, held_out: list[PosedImage]) -> None:
    """The checkpoint at `out`, with the calibration that the held-out images give, if they give one."""
    from relpose_ros.cli.calibrate_scene import calibrate_on

    try:
        calibrate_on(trained, held_out, [], out)
    except DatasetError as error:
        part = out.with_name(f".{out.name}")
        shutil.copyfile(trained, part)
        os.replace(part, out)
        print(
            f"{out}: not calibrated, its covariances are those of the prior: {error}. With other images: "
            f"relpose checkpoint calibrate {out} SOURCE",
            file=sys.stderr,
        )
