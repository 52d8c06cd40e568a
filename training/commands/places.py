"""`relpose prepare places`: sets of places to train and test retrieval with."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError
from relpose_training.commands.prepare_options import add_division, add_source_format, add_worlds
from relpose_training.commands.progress import progress_line, say_line

if TYPE_CHECKING:
    from relpose_ros.datasets.place_recognition.splits import PlaceDataset
    from relpose_training.data.place_sources import PlaceOptions, PlaceSource
    from relpose_training.data.sequences import PosedSequence

HELP = "which images show the same place (recipe retrieval)"

DESCRIPTION = """\
Queries, a gallery, and for each query its positives: gallery images that see the same, which is not the same
as being near. Two cameras back to back, or with a wall between them, are no positives; two that see one
facade from afar are. With depth (or dense coordinates) in all images that is the overlap of the surfaces they
see; otherwise of their fields of view, at depths guessed from how far the cameras spread (--depth says it
better). Everything with some overlap, or close by, is near: neither positive nor negative. Images of
different sources are always negatives of each other. Where no poses are known, there are tables: a CSV with
the columns file and x,y (metres) or lat,lon (degrees), and at will place, split, role (query, gallery, both),
heading (degrees from north); positives then are within --distances, or of the same place.

Splits: whole sources where there are at least as many as splits (--divide auto), else each source is divided
so that no split sees anything of another's; what sees both is left out. Queries without a positive are left
out and counted. The same command again takes up a run that was interrupted."""

EXAMPLES = """\
relpose prepare places simulate:office --worlds 20 --out worlds/ --split train=0.9,val=0.1 --workers 4
relpose prepare places simulate:corridor,world=3 --out corridor/ --split test --query-look other
relpose prepare places drive1/ drive2/ office_bag/ --out drives/ --split train=0.7,val=0.3
relpose prepare places day_bag/ night_bag/ --one-frame --out yard/       day is the gallery, night the queries
relpose prepare places chess/ fire/ heads/ --queries all --out rooms/
relpose prepare places images.csv --out city/ --refer
relpose prepare places sped/ --out sped_set/ --split train=0.5,val=0.1,test=0.4   labelled: gt.csv"""

SOURCE_HELP = (
    "posed images (a folder with images/ and poses.txt, a rosbag2, a COLMAP model, 7-Scenes, ...), simulate: "
    "(or simulate:office, simulate:corridor, simulate:office,world=3), labelled places (images/query, "
    "images/ref, gt.csv), or a table of images (.csv)"
)
SIMULATE = "simulate:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the action."""
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help=SOURCE_HELP)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the set goes")
    parser.add_argument("--force", action="store_true", help="replace a set that is there")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, a source each")
    parser.add_argument("--seed", type=int, default=0, help="of the division into splits")
    _add_sources(parser)
    _add_splits(parser)
    _add_positives(parser)
    images = parser.add_argument_group("images")
    images.add_argument(
        "--largest", type=int, default=480, metavar="PX",
        help="images whose short side is longer are reduced (default 480, what retrieval sees; 0: never)",
    )  # fmt: skip
    images.add_argument(
        "--jpeg", type=int, default=95, metavar="QUALITY", help="of images that are stored anew (0: PNG)"
    )
    images.add_argument(
        "--refer", action="store_true", help="leave image files where they are; the set is their list alone"
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", type=int, default=500, metavar="N",
        help="at most, of each posed source, evenly (default 500; time grows with the square)",
    )  # fmt: skip
    parser.add_argument(
        "--one-frame", action="store_true",
        help="all sources are drives through one place, their poses in one frame: the first is the gallery, "
        "the others query (or as --queries says)",
    )  # fmt: skip
    add_source_format(parser)
    worlds = add_worlds(parser, views=90)
    worlds.add_argument(
        "--query-look", choices=("mixed", "same", "other"), default="mixed",
        help="of the queries: same: other light alone; other: the simulator's other appearance, as after a "
        "redecoration; mixed (default): half of each",
    )  # fmt: skip


def _add_splits(parser: argparse.ArgumentParser) -> None:
    splits = add_division(parser)
    splits.add_argument(
        "--queries", choices=("auto", "split", "every", "all"), default="auto",
        help="split: images of the source's query split, as of a second drive; every: each Nth image; all: "
        "every image is query and gallery (most to train with); auto (default): split if there is one, else "
        "every",
    )  # fmt: skip
    splits.add_argument("--query-every", type=int, default=4, metavar="N", help="of every (default 4)")


def _add_positives(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is the same place")
    group.add_argument(
        "--positive-overlap", type=float, default=0.3, metavar="SHARE",
        help="of what either image sees that the other sees too, at least (default 0.3: what a pose can "
        "still be found from; above 0.5 hardly more than neighbours in a drive are left, below 0.2 images "
        "look different)",
    )  # fmt: skip
    group.add_argument(
        "--near-overlap", type=float, default=0.05, metavar="SHARE",
        help="from which on an image is no negative (default 0.05: less is within the errors of depth)",
    )  # fmt: skip
    group.add_argument(
        "--near-distance", type=float, default=0.0, metavar="LENGTH",
        help="cameras no further apart are no negatives either (default: half of how far things are)",
    )  # fmt: skip
    group.add_argument(
        "--metric", choices=("auto", "surface", "frustum"), default="auto",
        help="surface: needs depth; frustum: fields of view; auto (default): the first where it can",
    )  # fmt: skip
    group.add_argument(
        "--depth", type=float, default=0.0, metavar="LENGTH",
        help="how far things are from the cameras, in the unit of the poses (default: from depth or a guess)",
    )  # fmt: skip
    group.add_argument(
        "--distances", type=float, nargs=2, default=(10.0, 25.0), metavar=("TRAIN", "TEST"),
        help="of tables: metres up to which images are positives in training, and in validation and test "
        "(default 10 25, as NetVLAD); nothing nearer than the second is a negative",
    )  # fmt: skip
    group.add_argument(
        "--heading", type=float, default=40.0, metavar="DEG",
        help="of tables with headings: positives look apart by at most this (default 40: half of a "
        "field of view)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Make the set, say what is in it."""
    from relpose_ros.datasets.place_recognition.places_file import FILE
    from relpose_training.data.place_set import prepare_places
    from relpose_training.data.sequences import parse_split

    if min(args.workers, args.worlds) < 1 or args.first_world < 0:
        raise ConfigurationError("expected --workers and --worlds of 1 or more")
    if (args.out / FILE).exists() and not args.force:
        raise ConfigurationError(
            f"{args.out / FILE}: is there already; choose another --out, or give --force to replace it"
        )
    options, sources = _options(args), sources_of(args)
    with progress_line() as progress:
        dataset = prepare_places(
            sources, args.out, parse_split(args.split), options, args.divide, args.seed, args.workers,
            {"sources": shlex.join(args.sources), "names": [source.name for source in sources]},
            progress, say_line,
        )  # fmt: skip
    print(f"{args.out / FILE}\n{table(dataset)}")
    return 0


def table(dataset: PlaceDataset) -> str:
    """How many queries there are, and what they can find."""
    from relpose_ros.cli.tables import format_table
    from relpose_ros.datasets.place_recognition.splits import SPLITS

    rows = [["split", "queries", "without positives", "gallery", "positives a query", "near a query"]]
    for name in SPLITS:
        split, lost = getattr(dataset, name), dataset.dropped.get(name, 0)
        count = len(split.queries)
        if count or lost or split.gallery:
            positives, near = (
                f"{sum(map(len, lists)) / count:.1f}" if count else "-"
                for lists in (split.positives, split.near)
            )
            rows.append([name, str(count), f"{lost} (left out)", str(len(split.gallery)), positives, near])
    return format_table(rows, "  ")


def sources_of(args: argparse.Namespace) -> list[PlaceSource]:
    """What the sources are. Raises DatasetError or ConfigurationError for one that cannot be used."""
    from relpose_ros.cli.inputs import parse_options
    from relpose_ros.datasets.place_recognition.detect import holds
    from relpose_training.data.place_sources import LabelledPlaces, PosedPlaces, SharedFrame
    from relpose_training.data.place_table import TablePlaces
    from relpose_training.data.sequences import SourceSequence

    options = parse_options(args.source_options)
    posed: list[PosedSequence] = []
    others: list[PlaceSource] = []
    for source in args.sources:
        path = Path(source)
        if source.startswith(SIMULATE):
            posed += _worlds(source.removeprefix(SIMULATE), args)
        elif path.suffix.lower() == ".csv":
            others.append(TablePlaces(path))
        elif args.source_format is None and holds(path, "labelled"):
            others.append(LabelledPlaces(path))
        else:
            named = [Path(other).resolve().name for other in args.sources].count(path.resolve().name)
            posed.append(SourceSequence(path, args.source_format, options, source if named > 1 else ""))
    if args.one_frame:
        if others or len(posed) < 2:
            raise ConfigurationError("expected two sources of posed images or more for --one-frame")
        return [PosedPlaces(SharedFrame(tuple(posed)))]
    return [*map(PosedPlaces, posed), *others]


def _worlds(words: str, args: argparse.Namespace) -> list[PosedSequence]:
    from relpose_training.data.place_worlds import PlaceWorld

    kind: Any
    kind, _, only = words.partition(",")
    numbers = list(range(args.first_world, args.first_world + args.worlds))
    if only:
        name, _, number = only.partition("=")
        if name != "world" or not number.isdigit():
            raise ConfigurationError(f"expected {SIMULATE}{kind},world=3, got {SIMULATE}{words}")
        numbers = [int(number)]
    return [PlaceWorld(number, kind or "any", args.views, args.query_look) for number in numbers]


def _options(args: argparse.Namespace) -> PlaceOptions:
    from relpose_training.data.place_images import ImageOptions
    from relpose_training.data.place_overlap import OverlapOptions
    from relpose_training.data.place_sources import PlaceOptions

    overlap = OverlapOptions(
        args.metric, args.positive_overlap, args.near_overlap, args.near_distance, args.depth
    )
    return PlaceOptions(
        overlap,
        ImageOptions(args.largest, args.jpeg),
        args.queries,
        args.query_every,
        args.images,
        args.refer,
        tuple(args.distances),
        args.heading,
    )
