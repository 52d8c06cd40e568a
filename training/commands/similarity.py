"""`relpose prepare similarity`: how much the views of a scene have in common, as a table on disk."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import DatasetError
from relpose_training.commands.progress import progress_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from relpose_ros.progress import Progress
    from relpose_training.data.seen_views import SeenView
    from relpose_training.data.similarity import SimilarityOptions

HELP = "how much the views of a scene have in common (contrastive learning)"

DESCRIPTION = """\
A table of all pairs of views: how much of what one sees the other sees too, and a symmetric distance made of
it. Contrastive training draws views of the same place and of others from it. The same command again takes up
one that was interrupted."""

EXAMPLES = """\
relpose prepare similarity scene/ --out scene/similarity.h5 --plot similarity.png
relpose prepare similarity scene/ --metric surface --out scene/similarity.h5
relpose prepare similarity drive1/ --metric frustum --rerank --out similarity.h5"""

RERANK = (20, 6, 0.3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the action."""
    parser.add_argument(
        "data", metavar="DATA", type=Path, help="a set of `relpose prepare scene`, or posed images with depth"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the table, .h5")
    parser.add_argument("--split", default="train", metavar="NAME", help="of a set (default: train)")
    parser.add_argument(
        "--metric", choices=("frustum", "surface", "distance"), default="distance",
        help="frustum: share of points in the other's view; surface: share of the surface that it sees from "
        "the same side; distance (default): frustum, mixed with rotation and translation",
    )  # fmt: skip
    parser.add_argument("--points", type=int, default=300, metavar="N", help="of each view (default 300)")
    parser.add_argument(
        "--hidden",
        action="store_true",
        help="count points behind things, too, as CamNet and TransPose do",
    )
    parser.add_argument(
        "--radius", type=float, default=0.1, metavar="M", help="within which surfaces are one (default 0.1 m)"
    )
    parser.add_argument(
        "--weights", type=float, nargs=3, default=(0.5, 0.5, 0.0),
        metavar=("OVERLAP", "ROTATION", "TRANSLATION"), help="of --metric distance (default 0.5 0.5 0)",
    )  # fmt: skip
    parser.add_argument(
        "--rerank", action="store_true", help="k-reciprocal re-ranking: neighbours are those of neighbours"
    )
    parser.add_argument("--k1", type=int, default=RERANK[0], metavar="N", help="of it (default 20)")
    parser.add_argument("--k2", type=int, default=RERANK[1], metavar="N", help="of it (default 6)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a picture of it and of some partners")
    parser.add_argument(
        "--near", type=float, default=0.01, metavar="SHARE", help="of views that the picture shows as near"
    )
    parser.add_argument("--source-format", metavar="NAME", help="format of DATA (default: recognised)")


def run(args: argparse.Namespace) -> int:
    """Make the table, draw it, say what it is."""
    from relpose_training.data.similarity import SimilarityOptions, similarity_table
    from relpose_training.data.similarity_table import write_table

    rerank = (args.k1, args.k2, RERANK[2]) if args.rerank else None
    options = SimilarityOptions(
        args.metric, args.points, args.hidden, args.radius, tuple(args.weights), rerank
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(f".{args.out.name}.part.npz")
    with progress_line() as progress:
        views, load = _views(args, options, progress)
        table = similarity_table(views, options, part, progress)
    write_table(args.out, table)
    part.unlink(missing_ok=True)
    simulated = int(table.simulated.sum())
    print(f"{args.out}: {len(views)} views, {len(views) - simulated} real and {simulated} simulated")
    if args.plot is not None:
        from relpose_training.data.contrastive_sets import SetOptions
        from relpose_training.data.similarity_plot import plot_similarity

        sets = SetOptions(positive=args.near, positive_back=max(args.near, 0.05))
        print(plot_similarity(table, args.plot, load, sets))
    return 0


def _views(
    args: argparse.Namespace, options: SimilarityOptions, progress: Progress
) -> tuple[list[SeenView], Callable[[int], NDArray[np.uint8]]]:
    """The views of a set or of a source, and what gives their images."""
    from relpose_training.data.seen_views import scene_shards, stored_image, views_of_images, views_of_set

    surfaces = options.metric == "surface"
    shards = scene_shards(args.data, args.split)
    if shards is not None:
        made = views_of_set(shards, options.points, surfaces)
        return _collected(made, sum(shards.sizes), progress), lambda number: stored_image(shards, number)
    from relpose_ros.datasets.open import open_source

    images = [
        image for image in open_source(args.data, format=args.source_format).images if image.map_from_camera
    ]
    if not images:
        raise DatasetError(f"{args.data}: no image has a pose; expected posed images")
    views = _collected(views_of_images(images, options.points, surfaces), len(images), progress)
    return views, lambda number: _rgb(images[number].load())


def _collected(views: Any, total: int, progress: Progress) -> list[SeenView]:
    collected = []
    for view in views:
        collected.append(view)
        progress(len(collected), total, f"reading {view.name}")
    return collected


def _rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image if image.ndim == 2 else image[..., ::-1]
