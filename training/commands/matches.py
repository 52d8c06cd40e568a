"""`relpose prepare matches`: labelled pairs of images for matchers, from whatever says what is where."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands.prepare_options import add_source_format
from relpose_training.commands.progress import progress_line, say_line

if TYPE_CHECKING:
    from relpose_training.data.correspondence_set import PairMaker
    from relpose_training.data.matching_options import MatchingOptions
    from relpose_training.data.sequences import PosedSequence

HELP = "pairs of images with features, true matches and keypoints without partner (recipe matcher)"

DESCRIPTION = """\
Features of posed images, pairs by overlap from easy to hard, and labels: which keypoints show the same point,
by depth, or by landmarks where there is no depth, and which certainly have no partner. The same command again
takes up a run that was interrupted."""

EXAMPLES = """\
relpose prepare matches drive1/ drive2/ --out pairs/ --split train=0.8,val=0.2   with depth, or COLMAP models
relpose prepare matches office/ --landmarks office.relmap --out pairs/
relpose prepare matches simulate: --worlds 40 --inlier-px 2 --outlier-px 6 --split train=9,val=1 --out pairs/
relpose prepare matches --megadepth /data/megadepth --scenes train.txt --published --out mega/
relpose prepare matches --dump /data/imp_dump --features spp --scenes val.txt --split val --out mega/
relpose prepare matches photos/ --homographies 4 --out warped/
relpose prepare matches office/ --features rootsift128 --keypoints 2000 --evaluation office_root_2000.hdf5
relpose prepare matches raw_data/ --features rootsift128 --keypoints 2000 --evaluation yfcc_root_2000.hdf5"""

SOURCE_HELP = (
    "posed images with depth or landmarks (a folder, a rosbag2, a COLMAP model, TUM, 7-Scenes, ...), or "
    "simulate: (simulate:office, simulate:corridor); for --homographies any folder of images"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the action."""
    parser.add_argument("sources", metavar="SOURCE", nargs="*", help=SOURCE_HELP)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the shards go")
    parser.add_argument(
        "--evaluation", type=Path, metavar="FILE",
        help="write the published HDF5 layout instead (SGMNet's, as IMP's evaluation reads it)",
    )  # fmt: skip
    parser.add_argument(
        "--split", metavar="SPLIT", default="train", help="train (default), val or test; or shares of the "
        "sources, worlds or scenes, as train=0.8,val=0.2: each is in one split as a whole",
    )  # fmt: skip
    parser.add_argument(
        "--shards", type=int, default=1, metavar="N", help="files a split; at least one a device"
    )
    parser.add_argument("--force", action="store_true", help="replace splits that are there")
    add_source_format(parser)
    parser.add_argument(
        "--landmarks", type=Path, metavar="FILE",
        help="for a source without depth: a map (.relmap), COLMAP model or .nvm of the same images and poses",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    _add_features(parser)
    _add_pairs(parser)
    _add_published(parser)
    _add_worlds(parser)


def _add_features(parser: argparse.ArgumentParser) -> None:
    features = parser.add_argument_group("features")
    features.add_argument(
        "--features", metavar="NAME",
        help="rootsift64 (default, as maps have), rootsift128, any registered one; of --dump: spp, sift",
    )  # fmt: skip
    features.add_argument("--keypoints", type=int, metavar="N", help="strongest of an image (default 1024)")
    features.add_argument(
        "--scores", choices=("rank", "detector"), help="of keypoints: their rank (default), as maps know it, "
        "or what the detector says",
    )  # fmt: skip
    features.add_argument(
        "--storage", choices=("uint8", "float16"), help="of descriptors (default uint8: half the size)"
    )


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    pairs = parser.add_argument_group("pairs and labels")
    for name, kind, unit, text in (
        ("seed", int, "N", "everything random follows from it"),
        ("pairs", int, "N", "at most, of each source, world or scene (default 1000)"),
        ("images", int, "N", "at most, of each source, evenly (default 300)"),
        ("least-overlap", float, "SHARE", "of what both images see (default 0.1)"),
        ("most-overlap", float, "SHARE", "of the same (default 0.8)"),
        ("least-common", int, "N", "landmarks that both see, where there is no depth (default 20)"),
        ("least-keypoints", int, "N", "in both images (default 200)"),
        ("least-matches", int, "N", "true ones (default 20)"),
        ("least-baseline", float, "LENGTH", "between the cameras, in the unit of the poses (default 0.02)"),
        ("inlier-px", float, "PX", "furthest that a match lands from its partner (default 3)"),
        ("outlier-px", float, "PX", "nearest that a keypoint without partner lands from any (default 10)"),
    ):
        pairs.add_argument(f"--{name}", type=kind, metavar=unit, help=text)
    pairs.add_argument(
        "--homographies", type=int, default=0, metavar="N",
        help="N warped pairs of each image instead: perspective, turn, scale, illumination",
    )  # fmt: skip


def _add_published(parser: argparse.ArgumentParser) -> None:
    published = parser.add_argument_group("published data")
    published.add_argument(
        "--published", action="store_true", help="rules of the published training data (what is said wins)"
    )
    published.add_argument(
        "--megadepth",
        type=Path,
        metavar="BASE",
        help="MegaDepth as D2-Net prepared it (scene_info/)",
    )
    published.add_argument(
        "--dump", type=Path, metavar="FOLDER",
        help="convert the published dump of IMP's training data, pickled; it is read without unpickling",
    )  # fmt: skip
    published.add_argument(
        "--scenes", type=Path, metavar="FILE", help="names of the scenes to take, one a line"
    )
    published.add_argument(
        "--pair-list", type=Path, metavar="FILE", help="of --evaluation from ScanNet: two images a line"
    )


def _add_worlds(parser: argparse.ArgumentParser) -> None:
    worlds = parser.add_argument_group("simulated worlds")
    worlds.add_argument("--worlds", type=int, default=10, metavar="N", help="how many (default 10)")
    worlds.add_argument("--first-world", type=int, default=0, metavar="N", help="number of the first")
    worlds.add_argument("--views", type=int, default=60, metavar="N", help="images of each (default 60)")


def run(args: argparse.Namespace) -> int:
    """Make the pairs."""
    _refuse(args)
    if args.evaluation is not None:
        return _evaluation(args)
    from relpose_training.data.correspondence_set import Target, prepare_correspondences
    from relpose_training.data.sequences import parse_split

    target = Target(args.out, args.shards, force=args.force)
    sequences, maker, words = _work(args)
    with progress_line() as progress:
        counts = prepare_correspondences(
            sequences, parse_split(args.split), target, maker, words, args.workers, progress, say_line
        )
    for split, count in counts.items():
        print(f"{target.file(split)}: {count} pairs")
    return 0


def _work(args: argparse.Namespace) -> tuple[Sequence[PosedSequence], PairMaker, str]:
    """Of what pairs are made, how, and in words of what."""
    if args.dump is not None:
        from relpose_training.data.dump_conversion import DumpOptions, dump_scenes

        scenes, size = dump_scenes(args.dump, args.features or "spp", _scenes(args))
        said = {"pairs": args.pairs, "storage": args.storage, "seed": args.seed}
        options = DumpOptions(args.features or "spp", size, **_said(said))
        return scenes, options, f"dump of MegaDepth, {options.feature}"
    if args.homographies:
        from relpose_training.data.image_folders import image_sequences
        from relpose_training.data.warped_pairs import WarpOptions

        said = {name: getattr(args, name) for name in ("features", "storage", "images", "seed")}
        said |= {"max_keypoints": args.keypoints, "outlier_px": args.outlier_px, "inlier_px": args.inlier_px}
        said |= {"least_keypoints": args.least_keypoints, "least_matches": args.least_matches}
        sources = image_sequences(args.sources, lambda posed: _posed(args, posed))
        return sources, WarpOptions(pairs=args.homographies, **_said(said)), " ".join(args.sources)
    if args.megadepth is not None:
        from relpose_training.data.megadepth_scenes import megadepth_scenes

        return megadepth_scenes(args.megadepth, _scenes(args)), options_of(args), "MegaDepth"
    return _sequences(args), options_of(args), " ".join(args.sources)


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _posed(args: argparse.Namespace, sources: list[str]) -> Sequence[PosedSequence]:
    from relpose_training.commands.prepare import sequences_of

    return sequences_of(argparse.Namespace(**{**vars(args), "sources": sources}))


def _refuse(args: argparse.Namespace) -> None:
    """What cannot be meant. Raises ConfigurationError."""
    given = [bool(args.sources), args.megadepth is not None, args.dump is not None]
    if sum(given) != 1:
        raise ConfigurationError("expected one of SOURCE..., --megadepth BASE and --dump FOLDER")
    if (args.out is None) == (args.evaluation is None):
        raise ConfigurationError("expected --out FOLDER (shards) or --evaluation FILE, one of them")
    if min(args.shards, args.workers, args.worlds) < 1 or args.views < 4 or args.first_world < 0:
        raise ConfigurationError("expected --shards, --workers, --worlds of 1 or more, --views of 4 or more")
    if args.homographies < 0 or (args.homographies and (not args.sources or args.evaluation is not None)):
        raise ConfigurationError("expected --homographies of 1 or more, with images as SOURCE and with --out")
    if args.dump is not None and args.evaluation is not None:
        raise ConfigurationError("a dump has no test set; give --evaluation posed images or YFCC's raw_data/")
    if args.scenes is not None and args.sources:
        raise ConfigurationError("--scenes is of --megadepth and --dump; give the sources that are wanted")


def options_of(args: argparse.Namespace) -> MatchingOptions:
    """What was said, over what is published if that was asked for, over the defaults."""
    from relpose_training.data.matching_options import PUBLISHED, MatchingOptions

    renamed = {"max_keypoints": "keypoints"}
    said = {f.name: getattr(args, renamed.get(f.name, f.name), None) for f in fields(MatchingOptions)}
    base: dict[str, Any] = dict(PUBLISHED) if args.published else {}
    if args.evaluation is not None:
        base = {"scores": "detector", **base}
    return MatchingOptions(**(base | _said(said)))


def _sequences(args: argparse.Namespace) -> Sequence[PosedSequence]:
    from relpose_training.commands.prepare import sequences_of
    from relpose_training.commands.scene import landmarks_by_image
    from relpose_training.data.sequences import SourceSequence

    sequences = sequences_of(args)
    if args.landmarks is None:
        return sequences
    if len(sequences) != 1 or not isinstance(sequences[0], SourceSequence):
        raise ConfigurationError("--landmarks belongs to one SOURCE; prepare each in a run of its own")
    points = landmarks_by_image(args.landmarks, [image.name for image in sequences[0].images()])
    return [replace(sequences[0], points=points, points_from=str(args.landmarks))]


def _scenes(args: argparse.Namespace) -> list[str] | None:
    if args.scenes is None:
        return None
    try:
        names = [line.strip() for line in args.scenes.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{args.scenes}: cannot be read ({error}); expected a name a line") from error
    return [name for name in names if name and not name.startswith("#")]


def _evaluation(args: argparse.Namespace) -> int:
    from relpose_training.data.evaluation_pairs import write_evaluation

    if args.evaluation.exists() and not args.force:
        raise ConfigurationError(f"{args.evaluation} exists already; choose another, or say --force")
    with progress_line() as progress:
        count = write_evaluation(args.evaluation, _evaluated(args), options_of(args), progress, say_line)
    print(f"{args.evaluation}: {count} pairs")
    return 0


def _evaluated(args: argparse.Namespace) -> Any:
    """Published raw layouts, with the pairs that they name; else sequences of ours."""
    from relpose_training.data.published_pairs import published_pairs

    if len(args.sources) == 1:
        found = published_pairs(Path(args.sources[0]), args.pair_list)
        if found is not None:
            return found
    if args.pair_list is not None:
        raise ConfigurationError("--pair-list is of ScanNet's layout: one folder of scenes as SOURCE")
    return _work(args)[0]
