"""`relpose test scene_coordinates`: poses of the networks of some scenes, in the columns of the papers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relpose_training.recipes.scene_coordinates.examination import ImageResult, Protocol

HELP = "camera poses from scene coordinates: medians, shares within 5 cm and 5 degrees, failures"

EXAMPLES = """\
relpose test scene_coordinates run/best.safetensors 7scenes/chess --out report/
relpose test scene_coordinates chess.safetensors 7scenes/chess fire.safetensors 7scenes/fire --out report/
relpose test scene_coordinates a.safetensors b.safetensors room/ --out report/      two networks, one room
relpose test scene_coordinates run/best.safetensors prepared/ --split val --out report/       shards"""

Pairs = list[tuple[Path, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the test."""
    parser.add_argument(
        "words",
        nargs="+",
        metavar="CHECKPOINT... SOURCE",
        help="checkpoints (.safetensors), then the posed-image source or the shards of their scene; again "
        "for more scenes. Tested are the queries of a source (all its posed images, if it has none)",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="for results.json, table.txt, errors.png"
    )
    parser.add_argument("--split", default="test", metavar="NAME", help="of shards (default: test)")
    parser.add_argument("--format", metavar="NAME", help="of sources, where it is not recognised")
    parser.add_argument("--images", type=int, metavar="N", help="at most so many of a scene")
    parser.add_argument(
        "--poses",
        type=Path,
        metavar="FILE",
        help="the estimated poses: TUM if it ends in .tum, else DSAC*'s file",
    )
    parser.add_argument(
        "--backend",
        default="auto",
        choices=("auto", "openvino", "onnxruntime", "torch"),
        help="of the network",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of the network")
    add_estimator_arguments(parser)


def add_estimator_arguments(parser: argparse.ArgumentParser) -> None:
    """How poses are found, and what counts as found."""
    parser.add_argument(
        "--estimator",
        default="robot",
        choices=("robot", "dsacstar", "rgbd"),
        help="robot weighs cells by their predicted covariance; dsacstar is the published one; rgbd that of "
        "images with depth",
    )
    parser.add_argument("--hypotheses", type=int, default=64, metavar="N", help="default 64")
    parser.add_argument(
        "--draws", type=int, default=8192, metavar="N", help="minimal sets at most (default 8192)"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="PX", help="of inliers (default 10 px; of rgbd 0.1 m)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the estimator (default 0)")
    parser.add_argument(
        "--gates",
        default="indoor",
        choices=("indoor", "aerial"),
        help="indoor: 5 cm 5 deg, 2 cm 2 deg, 1 cm 1 deg; aerial: CrossLoc's",
    )


def run(args: argparse.Namespace) -> int:
    """Test, print the table, leave files; returns the exit status."""
    from relpose_ros.errors import ConfigurationError
    from relpose_ros.geometry.scene_consensus import SceneRansacOptions
    from relpose_training.recipes.scene_coordinates.examination import Protocol

    pairs = pair_words(args.words)
    if args.images is not None and args.images < 1:
        raise ConfigurationError(f"expected --images of 1 or more, got {args.images}")
    threshold = args.threshold or (0.1 if args.estimator == "rgbd" else 10.0)
    options = SceneRansacOptions(
        threshold=threshold,
        max_error=10 * threshold,
        hypotheses=args.hypotheses,
        max_draws=args.draws,
        seed=args.seed,
    )
    protocol = Protocol(args.estimator, options)
    scenes, facts = examine(pairs, args, protocol)
    print(write_report(scenes, describe(args, protocol, facts), args))
    print(f"\n{args.out}: results.json, table.txt, errors.png")
    return 0


def pair_words(words: Sequence[str]) -> Pairs:
    """Checkpoints and the source that follows them, each checkpoint with it.

    Raises ConfigurationError if a source has no checkpoint before it, or a checkpoint no source after.
    """
    from relpose_ros.errors import ConfigurationError

    pairs: Pairs = []
    waiting: list[Path] = []
    last_was_source = False
    for word in words:
        if word.endswith(".safetensors"):
            waiting = [Path(word)] if last_was_source else [*waiting, Path(word)]
            last_was_source = False
            continue
        if not waiting:
            raise ConfigurationError(f"{word}: expected a checkpoint (.safetensors) before the source")
        pairs += [(checkpoint, word) for checkpoint in waiting]
        last_was_source = True
    if not last_was_source:
        raise ConfigurationError(f"{words[-1]}: expected a posed-image source or shards after the checkpoint")
    return pairs


def examine(
    pairs: Pairs, args: argparse.Namespace, protocol: Protocol
) -> tuple[dict[str, list[ImageResult]], list[dict[str, Any]]]:
    """Results of every scene, by a name, and what was tested on what."""
    from relpose_ros.checkpoints.scene import ScenePredictor
    from relpose_ros.evaluation.evaluate import spaced
    from relpose_ros.evaluation.uncertainty import posed_images
    from relpose_training.commands.progress import progress_line
    from relpose_training.recipes.scene_coordinates.examination import examine_images
    from relpose_training.recipes.scene_coordinates.sources import open_tested

    scenes: dict[str, list[ImageResult]] = {}
    facts = []
    with progress_line() as progress:
        for checkpoint, path in pairs:
            predictor = ScenePredictor(checkpoint, args.backend, args.threads)
            source = open_tested(path, args.split, args.format)
            images = spaced(posed_images(source), args.images)
            name = scene_name(pairs, checkpoint, source.name, scenes)
            scenes[name] = list(examine_images(predictor, images, protocol, progress))
            facts.append(
                {
                    "scene": name,
                    "source": path,
                    "metric": source.metric,
                    "checkpoint": str(checkpoint),
                    "sha256": predictor.identity,
                    "bytes": checkpoint.stat().st_size,
                    "network": predictor.info.network,
                    "origin": predictor.info.origin,
                    "data": predictor.info.data,
                    "licence": predictor.info.licence,
                }
            )
    return scenes, facts


def scene_name(pairs: Pairs, checkpoint: Path, source: str, taken: Mapping[str, Any]) -> str:
    """The source's name; with the checkpoint's where several are tested on it; never one that is taken."""
    alone = len({path for _, path in pairs}) == len(pairs)
    name = source if alone else f"{source}: {checkpoint.parent.name}/{checkpoint.stem}"
    number = sum(other == name or other.startswith(f"{name} #") for other in taken)
    return f"{name} #{number + 1}" if number else name


def describe(args: argparse.Namespace, protocol: Protocol, facts: list[dict[str, Any]]) -> dict[str, Any]:
    """What was tested, on what, and how: the head of results.json."""
    from relpose_ros.evaluation.provenance import command_line
    from relpose_training.recipes.scene_coordinates.examination import ESTIMATORS

    return {
        "command": command_line(),
        "scenes": facts,
        "split": args.split,
        "estimator": {"name": protocol.estimator, "what": ESTIMATORS[protocol.estimator]},
        "ransac": vars(protocol.ransac),
        "median": "infinite errors (no pose) count; of an even number the mean of the middle two",
        "covariance": "raw, as the estimator says it: not calibrated",
        "time": f"median; backend {args.backend}, threads {args.threads or 'all'}, but the first of a size",
    }


def write_report(
    scenes: Mapping[str, Sequence[ImageResult]], head: dict[str, Any], args: argparse.Namespace
) -> str:
    """Leave results.json, table.txt, the plot and the poses; returns the table."""
    from relpose_ros.evaluation.files import plain, write_text
    from relpose_ros.evaluation.pose_table import AERIAL, INDOOR
    from relpose_training.recipes.scene_coordinates.plots import plot_errors
    from relpose_training.recipes.scene_coordinates.pose_files import write_poses
    from relpose_training.recipes.scene_coordinates.summary import format_table, group_results

    groups = group_results(scenes, INDOOR if args.gates == "indoor" else AERIAL)
    images = [{"scene": name, **_row(result)} for name, results in scenes.items() for result in results]
    content = plain({**head, "groups": groups, "images": images})
    table = format_table(groups, all(fact["metric"] for fact in head["scenes"]))
    ransac = head["ransac"]
    table += (
        f"\n\nestimator {head['estimator']['name']}, {ransac['hypotheses']} hypotheses of at most "
        f"{ransac['max_draws']} draws, threshold {ransac['threshold']:g} "
        f"{'m' if head['estimator']['name'] == 'rgbd' else 'px'}; strictly below both bounds; "
        "failures have no pose and are within no bound"
    )
    write_text(args.out / "results.json", json.dumps(content, indent=1))
    write_text(args.out / "table.txt", f"{table}\n")
    plot_errors(scenes, args.out / "errors.png")
    if args.poses:
        write_poses([result for results in scenes.values() for result in results], args.poses)
    return table


def _row(result: ImageResult) -> dict[str, Any]:
    pose = result.estimate.pose
    return {
        "image": result.name,
        "translation_m": result.translation_m,
        "rotation_deg": result.rotation_deg,
        "reason": result.estimate.reason,
        "ambiguous": result.estimate.ambiguous,
        "nees": result.nees,
        "cell_error": result.cell_error,
        "cell_unit": result.cell_unit,
        "network_ms": result.network_ms,
        "pose_ms": result.pose_ms,
        "map_from_camera": None
        if pose is None
        else {"translation": pose.translation.tolist(), "rotation_xyzw": pose.rotation_xyzw.tolist()},
    }
