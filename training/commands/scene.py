"""`relpose prepare scene`: the images of one scene with what is known of it, as a set to train on."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands.prepare_options import add_source_format
from relpose_training.commands.progress import progress_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from relpose_ros.datasets.base import PosedImage
    from relpose_training.data.scene_encoding import Landmarks, SceneOptions
    from relpose_training.data.scene_set import SceneFacts
    from relpose_training.data.scene_splits import Queries

HELP = "views of one scene with depth, landmarks, coordinates or none (recipes of scene coordinates)"

DESCRIPTION = """\
Images with poses, all in one frame, and what is known of the scene. The map split is divided into train and
val, in runs of neighbouring images; the query split becomes test. Given again with another --split, the same
folder keeps the origin and the extent of its train split."""

EXAMPLES = """\
relpose prepare scene drive_bag/ --out scene/ --split train=0.9,val=0.1
relpose prepare scene chess/ --every 5 --out chess_set/                          7-Scenes, with its depth
relpose prepare scene ShopFacade/ --landmarks ShopFacade/reconstruction.nvm --out shop_set/
relpose prepare scene office_images/ --landmarks office.relmap --out office_set/
relpose prepare scene urbanscape/ -o sections=train_sim,train_drone_real --out urban_set/
relpose prepare scene simulate:office --world 3 --domains real,simulated --out world_set/"""

SOURCE_HELP = (
    "posed images (a folder with images/ and poses.txt, a rosbag2, a COLMAP model, 7-Scenes, DSAC*'s layout, "
    "...), or simulate:office or simulate:corridor"
)
SIMULATE = "simulate:"
SPLITS = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the action."""
    add_sources(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the set goes")
    parser.add_argument(
        "--split", default="train=0.9,val=0.1", metavar="SPLIT",
        help="shares of the images (default train=0.9,val=0.1), or one of train, val, test",
    )  # fmt: skip
    parser.add_argument(
        "--queries", choices=("test", "mixed", "none"), default="test",
        help="where images of the query split go (default: test); mixed: they count as the others",
    )  # fmt: skip
    parser.add_argument("--shards", type=int, default=1, metavar="N", help="files a split")
    parser.add_argument("--force", action="store_true", help="replace splits that are there")


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Which images, what is known of them, and how they are stored."""
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help=SOURCE_HELP)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="keep every Nth image of a source")
    parser.add_argument("--frame", default="map", metavar="NAME", help="frame_id of the poses (default: map)")
    add_source_format(parser)
    _add_labels(parser)
    _add_simulated(parser)


def _add_labels(parser: argparse.ArgumentParser) -> None:
    labels = parser.add_argument_group("what is known, and how images are stored")
    labels.add_argument(
        "--labels", choices=("auto", "depth", "landmarks", "coordinates", "none"), default="auto",
        help="auto (default): depth, else landmarks, else coordinates, else nothing",
    )  # fmt: skip
    labels.add_argument(
        "--landmarks", type=Path, metavar="FILE",
        help="a COLMAP model, a VisualSFM file (.nvm) or a map (.relmap) of the same images and poses",
    )  # fmt: skip
    labels.add_argument(
        "--largest", type=int, default=720, metavar="PX",
        help="images whose short side is longer are reduced (default 720; 0: never)",
    )  # fmt: skip
    labels.add_argument(
        "--jpeg", type=int, default=95, metavar="QUALITY",
        help="of images that are not files yet (default 95; 0: PNG)",
    )  # fmt: skip


def _add_simulated(parser: argparse.ArgumentParser) -> None:
    worlds = parser.add_argument_group("simulated worlds")
    worlds.add_argument("--world", type=int, default=0, metavar="N", help="number of the world (default 0)")
    worlds.add_argument(
        "--domains", default="real", metavar="LIST",
        help="real (default), simulated, or real,simulated: photographed, or as a game engine shows it",
    )  # fmt: skip
    worlds.add_argument("--views", type=int, default=200, metavar="N", help="to learn from, of each domain")
    worlds.add_argument("--query-views", type=int, default=60, metavar="N", help="to test on (default 60)")
    worlds.add_argument("--size", default="640x480", metavar="WxH", help="of the images (default 640x480)")


def run(args: argparse.Namespace) -> int:
    """Make the set."""
    from relpose_training.data.scene_set import prepare_scene
    from relpose_training.data.sequences import parse_split

    if args.shards < 1:
        raise ConfigurationError("expected --shards of 1 or more")
    splits, facts, landmarks = labelled_splits(args, parse_split(args.split), args.queries)
    _refuse_existing(args.out, splits, args.force)
    with progress_line() as progress:
        counts = prepare_scene(splits, args.out, args.shards, facts, scene_options(args), landmarks, progress)
    for split, count in counts.items():
        domains = Counter(image.domain for image in splits[split])
        print(
            f"{args.out / split}.json: {count} images ({', '.join(f'{n} {d}' for d, n in domains.items())})"
        )
    return 0


def labelled_splits(
    args: argparse.Namespace, shares: Mapping[str, float], queries: Queries
) -> tuple[dict[str, list[PosedImage]], SceneFacts, Landmarks | None]:
    """What the arguments of `add_sources` ask for: images by split, facts of them, and their landmarks."""
    from relpose_training.data.scene_set import SceneFacts
    from relpose_training.data.scene_splits import scene_splits

    if args.every < 1:
        raise ConfigurationError("expected --every of 1 or more")
    groups, licences, metric = _sources(args)
    _say_left_out(groups)
    splits = scene_splits([group[:: args.every] for group in groups], shares, queries)
    facts = SceneFacts(shlex.join(args.sources), ", ".join(licences), metric, args.frame)
    return splits, facts, _landmarks(args.landmarks, splits)


def scene_options(args: argparse.Namespace) -> SceneOptions:
    """How images and labels are stored, out of the arguments of `add_sources`."""
    from relpose_training.data.scene_encoding import SceneOptions

    return SceneOptions(args.largest, args.jpeg, args.labels)


def _sources(args: argparse.Namespace) -> tuple[list[list[PosedImage]], list[str], bool]:
    """Images by source and domain, the distinct licences, and whether all units are metres."""
    from relpose_ros.cli.inputs import parse_options
    from relpose_ros.datasets.open import open_source
    from relpose_ros.datasets.simulate.folder import LICENCE

    groups: list[list[PosedImage]] = []
    licences: dict[str, None] = {}
    metric = True
    for source in args.sources:
        if source.startswith(SIMULATE):
            groups += _simulated(source.removeprefix(SIMULATE) or "office", args)
            licences[LICENCE] = None
            continue
        opened = open_source(source, format=args.source_format, **parse_options(args.source_options))
        domains = dict.fromkeys(image.domain for image in opened.images)
        groups += [[image for image in opened.images if image.domain == domain] for domain in domains]
        licences[opened.licence or "not stated"] = None
        metric &= opened.metric
    return groups, list(licences), metric


def _simulated(kind: str, args: argparse.Namespace) -> list[list[PosedImage]]:
    from relpose_training.data.simulated_scene import SimulatedScene

    width, _, height = args.size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ConfigurationError(f"expected --size as 640x480, got {args.size!r}")
    domains: Any = tuple(word.strip() for word in args.domains.split(",") if word.strip())
    scene = SimulatedScene(args.world, kind, args.views, args.query_views, domains, int(width), int(height))
    return [list(images) for images in scene.images().values()]


def _landmarks(path: Path | None, splits: Mapping[str, list[PosedImage]]) -> Landmarks | None:
    """The points that each image sees, by its name. Raises DatasetError if no image is known by name."""
    if path is None:
        return None
    names = {image.name for images in splits.values() for image in images}
    seen = landmarks_by_image(path, names)
    print(f"{path}: landmarks of {len(seen)} of {len(names)} images", file=sys.stderr)
    return lambda image: seen.get(image.name)


def landmarks_by_image(path: Path, names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Points (M, 3) that each of the images sees, as far as the file knows them by name.

    `path`: a map (.relmap), a VisualSFM file (.nvm) or a COLMAP model. Raises DatasetError if it knows none.
    """
    seen = _points_by_name(path)
    name_of = _stem if path.suffix == ".nvm" else str
    names = list(names)
    known = {name: seen[name_of(name)] for name in names if name_of(name) in seen}
    if not known:
        raise DatasetError(
            f"{path}: none of its {len(seen)} images ({next(iter(seen), '')!r}, ...) is one of the sources "
            f"({min(names, default='')!r}, ...); give the model or map that was made of them"
        )
    return known


def _points_by_name(path: Path) -> dict[str, NDArray[np.float64]]:
    if path.suffix == ".relmap":
        from relpose_ros.cli.map_landmarks import map_landmarks

        return map_landmarks(path)
    if path.suffix == ".nvm":
        from relpose_ros.datasets.nvm_points import nvm_points

        return nvm_points(path)
    from relpose_ros.datasets.colmap_points import colmap_points

    return colmap_points(path)


def _stem(name: str) -> str:
    """A name without its ending."""
    return name.rsplit(".", 1)[0]


def _refuse_existing(folder: Path, splits: Mapping[str, Any], force: bool) -> None:
    there = [name for name in splits if (folder / f"{name}.json").exists()]
    if there and not force:
        raise ConfigurationError(
            f"{folder}: has a split {there[0]} already; choose another --out, or give --force to replace it"
        )
    others = [name for name in SPLITS if name not in splits and (folder / f"{name}.json").exists()]
    if others and "train" in splits:
        raise ConfigurationError(
            f"{folder}: its split {others[0]} has the origin of another train split; make all of them "
            "anew in another --out"
        )


def _say_left_out(groups: list[list[PosedImage]]) -> None:
    lost = sum(image.map_from_camera is None for group in groups for image in group)
    if lost:
        print(f"{lost} of {sum(map(len, groups))} images have no pose and are left out", file=sys.stderr)
