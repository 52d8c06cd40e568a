"""`relpose prepare correspondences`: data sets to train on, from posed images or simulated worlds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands import clusters, graphs, matches, places, scene, similarity
from relpose_training.commands.prepare_options import add_source_format
from relpose_training.commands.progress import progress_line, say_line

if TYPE_CHECKING:
    from relpose_ros.cli.parser import CommandParser, Subparsers
    from relpose_training.data.correspondence_set import Target
    from relpose_training.data.correspondences import CorrespondenceOptions
    from relpose_training.data.sequences import PosedSequence

EXAMPLES = """\
relpose prepare correspondences drive1/ drive2/ drive3/ --out pairs/ --split train=0.7,val=0.3
relpose prepare correspondences simulate: --worlds 60 --out pairs/ --shards 8 --split train=0.9,val=0.1
relpose prepare correspondences yfcc-sift-2000-train.hdf5 --out yfcc/ --shards 8   OANet's file"""

SOURCE_HELP = (
    "posed images (a folder with images/ and poses.txt, a rosbag2, a COLMAP model, 7-Scenes, ...), "
    "simulate: (or simulate:office, simulate:corridor), or an OANet .hdf5 file"
)
HDF5 = (".hdf5", ".h5")
SIMULATE = "simulate:"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser(
        "prepare",
        help="make data sets to train on",
        description="Data sets to train on: HDF5 shards in a folder, with an index for each split.",
        examples=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_correspondences(
        actions.add_parser(
            "correspondences",
            help="pairs of images with matches and their true geometry (recipe one_to_one)",
            description="SIFT, nearest neighbours, ratios, mutuals and the true epipolar geometry.\n"
            "The same command again takes up a run that was interrupted.",
        )
    )
    matches.add_arguments(
        actions.add_parser(
            "matches", help=matches.HELP, description=matches.DESCRIPTION, examples=matches.EXAMPLES
        )
    )
    clusters.add_arguments(
        actions.add_parser(
            "clusters", help=clusters.HELP, description=clusters.DESCRIPTION, examples=clusters.EXAMPLES
        )
    )
    places.add_arguments(
        actions.add_parser(
            "places", help=places.HELP, description=places.DESCRIPTION, examples=places.EXAMPLES
        )
    )
    graphs.add_arguments(
        actions.add_parser(
            "graphs", help=graphs.HELP, description=graphs.DESCRIPTION, examples=graphs.EXAMPLES
        )
    )
    scene.add_arguments(
        actions.add_parser("scene", help=scene.HELP, description=scene.DESCRIPTION, examples=scene.EXAMPLES)
    )
    similarity.add_arguments(
        actions.add_parser(
            "similarity",
            help=similarity.HELP,
            description=similarity.DESCRIPTION,
            examples=similarity.EXAMPLES,
        )
    )


def _add_correspondences(parser: CommandParser) -> None:
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help=SOURCE_HELP)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the data set goes")
    parser.add_argument(
        "--split", metavar="SPLIT", help="train (default), val or test; or shares of the sources or worlds, "
        "as train=0.8,val=0.2: each is in one split as a whole",
    )  # fmt: skip
    parser.add_argument(
        "--shards", type=int, default=1, metavar="N", help="files a split; at least one a device"
    )
    parser.add_argument(
        "--format", choices=("shards", "oanet"), default="shards", help="oanet: one OANet HDF5 file a split"
    )
    parser.add_argument("--force", action="store_true", help="replace splits that are there")
    add_source_format(parser)
    _add_pairs(parser)
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    worlds = parser.add_argument_group("simulated worlds")
    worlds.add_argument("--worlds", type=int, default=10, metavar="N", help="how many (default 10)")
    worlds.add_argument("--first-world", type=int, default=0, metavar="N", help="number of the first")
    worlds.add_argument("--views", type=int, default=60, metavar="N", help="images of each (default 60)")


def _add_pairs(parser: CommandParser) -> None:
    pairs = parser.add_argument_group("pairs")
    pairs.add_argument("--seed", type=int, default=0, help="everything random follows from it")
    pairs.add_argument(
        "--pairs", type=int, default=1000, metavar="N", help="at most, of each source or world (default 1000)"
    )
    pairs.add_argument(
        "--images", type=int, default=300, metavar="N", help="at most, of each source, evenly (default 300)"
    )
    pairs.add_argument("--keypoints", type=int, default=2000, metavar="N", help="of an image (default 2000)")
    pairs.add_argument(
        "--least-overlap", type=float, default=0.1, metavar="SHARE",
        help="of what both images see (default 0.1); easy and hard pairs are taken in equal numbers",
    )  # fmt: skip
    pairs.add_argument(
        "--least-baseline", type=float, default=0.02, metavar="LENGTH",
        help="between the cameras, in the unit of the poses (default 0.02): well above the poses' own errors",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    return ACTIONS[args.action](args)


def _correspondences(args: argparse.Namespace) -> int:
    from relpose_training.data.correspondence_set import Target, prepare_correspondences
    from relpose_training.data.sequences import parse_split

    if min(args.shards, args.workers, args.worlds) < 1 or args.views < 4 or args.first_world < 0:
        raise ConfigurationError(
            "expected --shards, --workers, --worlds of 1 or more and --views of 4 or more"
        )
    target = Target(args.out, args.shards, args.format, args.force)
    if any(source.endswith(HDF5) for source in args.sources):
        return _convert(args, target)
    sequences, shares = sequences_of(args), parse_split(args.split or "train")
    with progress_line() as progress:
        counts = prepare_correspondences(
            sequences,
            shares,
            target,
            _options(args),
            " ".join(args.sources),
            args.workers,
            progress,
            say_line,
        )
    for split, count in counts.items():
        print(f"{target.file(split)}: {count} pairs")
    return 0


def _convert(args: argparse.Namespace, target: Target) -> int:
    from relpose_training.data.correspondence_set import convert_oanet

    if len(args.sources) != 1:
        raise ConfigurationError("give one OANet file at a time: each is one split, and becomes one")
    path = Path(args.sources[0])
    split = args.split or next((s for s in ("train", "val", "test") if s in path.stem.split("-")), None)
    if split not in ("train", "val", "test"):
        raise ConfigurationError(f"{path}: of which split is it? Say --split train, val or test")
    with progress_line() as progress:
        count = convert_oanet(path, split, target, progress, say_line)
    print(f"{target.file(split)}: {count} pairs")
    return 0


def sequences_of(args: argparse.Namespace) -> list[PosedSequence]:
    """What the sources are. Raises DatasetError for one that is not there or cannot be used."""
    from relpose_training.data.sequences import SourceSequence
    from relpose_training.data.simulated_worlds import SimulatedWorld

    options = _source_options(args.source_options)
    sequences: list[PosedSequence] = []
    for source in args.sources:
        if source.startswith(SIMULATE):
            kind: Any = source.removeprefix(SIMULATE) or "any"
            numbers = range(args.first_world, args.first_world + args.worlds)
            sequences += [SimulatedWorld(number, kind, args.views) for number in numbers]
        else:
            _refuse_pickles(Path(source))
            named = [Path(other).resolve().name for other in args.sources].count(Path(source).resolve().name)
            label = source if named > 1 else ""
            sequences.append(SourceSequence(Path(source), args.source_format, options, label))
    return sequences


def _refuse_pickles(path: Path) -> None:
    """The one-to-one framework's own sets are pickles; the file they were made from is not."""
    sets = path.glob("*_[0-9][0-9][0-9][0-9].pkl") if path.is_dir() else iter(())
    if path.suffix in (".pkl", ".pickle") or any(sets):
        raise DatasetError(
            f"{path}: a pickle runs whatever is in it when it is read, so it is not. These were made from "
            "OANet's HDF5 files: give those, as `relpose prepare correspondences yfcc-sift-2000-train.hdf5 "
            "--shards 8` (sets 0, 1 and 2 are 1, 4 and 8 shards)"
        )


def _source_options(words: list[str]) -> dict[str, Any]:
    import yaml

    options = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigurationError(f"expected KEY=VALUE for --option, got {word!r}")
        options[key] = yaml.safe_load(value) if value else ""
    return options


def _options(args: argparse.Namespace) -> CorrespondenceOptions:
    from relpose_training.data.correspondences import CorrespondenceOptions

    return CorrespondenceOptions(
        max_keypoints=args.keypoints,
        images=args.images,
        pairs=args.pairs,
        least_overlap=args.least_overlap,
        least_baseline=args.least_baseline,
        seed=args.seed,
    )


ACTIONS = {
    "clusters": clusters.run,
    "correspondences": _correspondences,
    "graphs": graphs.run,
    "matches": matches.run,
    "places": places.run,
    "scene": scene.run,
    "similarity": similarity.run,
}
