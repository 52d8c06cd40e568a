"""`relpose prepare graphs`: scenes to train and test relative poses over graphs of images with."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.errors import ConfigurationError
from relpose_training.commands.prepare_options import add_division, add_source_format, add_worlds
from relpose_training.commands.progress import progress_line, say_line

if TYPE_CHECKING:
    from relpose_ros.retrieval.graph_images import GraphInput
    from relpose_training.data.graph_parts import GraphSetOptions
    from relpose_training.data.sequences import PosedSequence

HELP = "queries and the references that retrieval ranks for them (recipe relpose_gnn)"

DESCRIPTION = """\
Each source becomes a scene: its images as the network will see them, their poses, and for each query the 100
references that retrieval finds most similar, best first. Which of them make a graph is drawn in training,
anew in each epoch. Retrieval needs no weights (VLAD over the scene's own RootSIFT features, as a map has it)
or is a checkpoint of the recipe retrieval.

Images are warped to one pinhole camera (--size, --field): no distortion, the same geometry for every camera,
black where an image does not reach. --short-side keeps each camera, as published.

Splits: whole sources where there are at least as many as splits (--divide auto): that measures scenes never
seen, but for worlds of simulate:office, which share walls and drives; those of simulate:rooms share nothing.
Else each source is divided: its training images query each other, those of val and of its own query
split (which become test) query them, as in the published experiments. The same command again takes up a run
that was interrupted. Published graphs (data_*.pt in a folder or a .tar) are converted, without unpickling."""

EXAMPLES = """\
relpose prepare graphs simulate:rooms --worlds 40 --out graphs/ --split train=0.88,val=0.12 --workers 2
relpose prepare graphs simulate:rooms,world=0-29 simulate:office,world=0-9 --out graphs/ --split train
relpose prepare graphs simulate:rooms,world=100-104 simulate:corridor,world=0 --out graphs/ --split val
relpose prepare graphs drive1/ drive2/ office_bag/ --out graphs/ --split train=0.7,val=0.3
relpose prepare graphs map_folder/ --out graphs/ --divide images --split train=0.9,val=0.1
relpose prepare graphs places/*/ --out graphs/ --retrieval retrieval.safetensors
relpose prepare graphs chess/ fire/ heads/ --published --divide images --split train --out graphs/
relpose prepare graphs chess_fc8_sp5_test.tar --split test --out graphs/     the authors' archive"""

SOURCE_HELP = (
    "posed images (a folder with images/ and poses.txt, a rosbag2, a COLMAP model, 7-Scenes, ...), simulate: "
    "(or simulate:office, simulate:rooms, simulate:corridor, with worlds of their own simulate:rooms,world=3 "
    "or simulate:rooms,world=0-19), a folder with the authors' "
    "train_frames.bin and test_frames.bin (and --images-root), or published graphs"
)
SIMULATE = "simulate:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the action."""
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help=SOURCE_HELP)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the set goes")
    parser.add_argument("--force", action="store_true", help="replace splits that are there")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, a source each")
    parser.add_argument("--seed", type=int, default=0, help="of the division into splits")
    _add_sources(parser)
    _add_splits(parser)
    _add_ranking(parser)
    _add_images(parser)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", type=int, metavar="N",
        help="at most, of each source, evenly (default 2000; with --published all)",
    )  # fmt: skip
    add_source_format(parser)
    parser.add_argument(
        "--images-root", type=Path, metavar="FOLDER", help="where the images of train_frames.bin lie"
    )
    worlds = add_worlds(parser, views=120)
    worlds.add_argument(
        "--night", type=float, default=0.0, metavar="SHARE",
        help="of the worlds have half of their views in the simulator's other appearance (default 0)",
    )  # fmt: skip
    worlds.add_argument(
        "--own-cameras", action="store_true",
        help="each world has a camera of its own, 55 to 100 degrees wide, every third distorted, whose "
        "images are warped (default: rendered by the network's camera, which is faster)",
    )  # fmt: skip


def _add_splits(parser: argparse.ArgumentParser) -> None:
    splits = add_division(parser)
    splits.add_argument(
        "--queries", choices=("auto", "split", "each_other", "all"), default="auto",
        help="of whole sources. split: images of the source's query split, as of a second drive; each_other: "
        "the references query each other; all: every image queries the references; auto (default): all in "
        "train, else split if there is one, else each_other",
    )  # fmt: skip


def _add_ranking(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("retrieval")
    group.add_argument(
        "--retrieval", type=Path, metavar="FILE",
        help="what ranks: a checkpoint of the recipe retrieval (.safetensors) or a plugged-in model (.yaml); "
        "default: VLAD of the scene's own features",
    )  # fmt: skip
    group.add_argument(
        "--keypoints", type=int, default=1000, metavar="N", help="of an image, for VLAD (default 1000)"
    )
    group.add_argument(
        "--ranked", type=int, default=100, metavar="N", help="references kept of each query (default 100)"
    )


def _add_images(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what the network sees")
    group.add_argument(
        "--size", default="224x160", metavar="WxH", help="pixels of its camera (default 224x160)"
    )
    group.add_argument(
        "--field", type=float, default=75.0, metavar="DEG",
        help="its horizontal field of view (default 75): about that of your cameras",
    )  # fmt: skip
    group.add_argument(
        "--short-side", type=int, metavar="PX",
        help="no warping: the shorter side becomes this long (published: 256), and colours are normalised by "
        "the scene's own statistics",
    )  # fmt: skip
    group.add_argument(
        "--published", action="store_true",
        help="as published graphs of 7-Scenes: --short-side 256, and 7 neighbours of each query drawn once "
        "from its whole ranking, with half of it dropped at random (seed 7)",
    )  # fmt: skip
    group.add_argument(
        "--period", type=int, default=5, metavar="N", help="of --published: every Nth is taken (default 5)"
    )


def run(args: argparse.Namespace) -> int:
    """Make the set, say what is in it."""
    from relpose_training.data.sequences import parse_split

    if min(args.workers, args.worlds) < 1 or args.first_world < 0 or not 0 <= args.night <= 1:
        raise ConfigurationError("expected --workers and --worlds of 1 or more, --night of 0 to 1")
    counts = _convert(args) if _published_graphs(args) else _prepare(args, parse_split(args.split))
    for split, count in counts.items():
        print(f"{args.out / split}.json: {count} queries")
    return 0


def _prepare(args: argparse.Namespace, shares: dict[str, float]) -> dict[str, int]:
    from relpose_training.data.graph_set import prepare_graphs

    options = options_of(args)
    with progress_line() as progress:
        return prepare_graphs(
            sequences_of(args, options.input), args.out, shares, options, args.divide, args.seed,
            args.workers, shlex.join(args.sources), args.force, progress, say_line,
        )  # fmt: skip


def options_of(args: argparse.Namespace) -> GraphSetOptions:
    """Raises ConfigurationError."""
    from relpose_training.data.graph_parts import GraphSetOptions
    from relpose_training.data.graphs import GraphOptions

    images = args.images if args.images is not None else 1 << 30 if args.published else 2000
    return GraphSetOptions(
        input_of(args),
        "" if args.retrieval is None else str(args.retrieval),
        args.keypoints,
        args.queries,
        images,
        args.ranked,
        GraphOptions(period=args.period) if args.published else None,
    )


def input_of(args: argparse.Namespace) -> GraphInput:
    """Raises ConfigurationError."""
    from relpose_ros.retrieval.graph_images import GraphCamera, GraphInput

    if args.published or args.short_side is not None:
        return GraphInput.published(256 if args.short_side is None else args.short_side)
    width, _, height = args.size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ConfigurationError(f"expected --size WxH, as 224x160, got {args.size!r}")
    camera = GraphCamera.of_field(int(width), int(height), args.field)
    return GraphInput("canonical", camera.width, camera.height, camera.focal)


def sequences_of(args: argparse.Namespace, graph_input: GraphInput) -> list[PosedSequence]:
    """What the sources are. Raises DatasetError or ConfigurationError for one that cannot be used."""
    from relpose_ros.cli.inputs import parse_options
    from relpose_training.data.graph_frames import FramesSequence, holds_frames
    from relpose_training.data.graph_worlds import camera_to_render, graph_worlds
    from relpose_training.data.sequences import SourceSequence

    options = parse_options(args.source_options)
    numbers = range(args.first_world, args.first_world + args.worlds)
    seen_by = None if args.own_cameras else camera_to_render(graph_input)
    out: list[PosedSequence] = []
    for source in args.sources:
        path = Path(source)
        if source.startswith(SIMULATE):
            words = source.removeprefix(SIMULATE)
            out += graph_worlds(words, numbers, args.views, args.night, seen_by)
        elif args.source_format is None and holds_frames(path):
            out.append(FramesSequence(path, args.images_root or path.parent))
        else:
            named = [Path(other).resolve().name for other in args.sources].count(path.resolve().name)
            out.append(SourceSequence(path, args.source_format, options, source if named > 1 else ""))
    return out


def _published_graphs(args: argparse.Namespace) -> bool:
    from relpose_training.data.graph_archives import holds_graphs

    found = [holds_graphs(Path(source)) for source in args.sources]
    if any(found) and not all(found):
        raise ConfigurationError("published graphs and other sources: prepare them in runs of their own")
    return any(found)


def _convert(args: argparse.Namespace) -> dict[str, int]:
    from relpose_training.data.graph_conversion import convert_graphs

    with progress_line() as progress:
        return convert_graphs(
            [Path(source) for source in args.sources], args.out, args.split, args.force, progress, say_line
        )
