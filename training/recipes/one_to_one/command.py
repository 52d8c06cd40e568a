"""`relpose test one_to_one`: a checkpoint's poses on a test split, beside plain filters and RANSAC."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relpose_training.recipes.one_to_one.examination import PairResult, Protocol
    from relpose_training.recipes.one_to_one.subject import Subject

HELP = "relative poses from classified correspondences, with and without RANSAC"

EXAMPLES = """\
relpose test one_to_one --checkpoint run/best.safetensors --data pairs/ --out report/
relpose test one_to_one --checkpoint run/best.safetensors --data pairs/ --split val test --out report/
relpose test one_to_one ... --estimator opencv --threshold 1e-3      OANet's protocol alone"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the test."""
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="FILE", help="a .safetensors file")
    parser.add_argument(
        "--data", required=True, metavar="FOLDER", help="folder or bucket with shards of correspondences"
    )
    parser.add_argument("--split", nargs="+", default=["test"], metavar="NAME", help="default: test")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="for results.json, table.txt and plots"
    )
    parser.add_argument(
        "--estimator",
        nargs="+",
        default=["poselib", "opencv"],
        choices=("poselib", "opencv", "magsac"),
        help="robust estimators: poselib is the robot's, opencv (RANSAC) that of OANet; default: both",
    )
    parser.add_argument(
        "--threshold", type=float, default=1e-3, help="of the estimators, on the plane z = 1 (default 1e-3)"
    )
    parser.add_argument("--ratio", type=float, default=0.8, help="of the plain ratio filter (default 0.8)")
    parser.add_argument("--pairs", type=int, metavar="N", help="at most so many pairs of a split")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="for the network")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the correspondences that are drawn (default 0)"
    )


def run(args: argparse.Namespace) -> int:
    """Test, print the tables, leave files; returns the exit status."""
    from relpose_training.recipes.one_to_one.examination import Protocol
    from relpose_training.recipes.one_to_one.subject import load_subject

    subject = load_subject(args.checkpoint, args.device)
    protocol = Protocol(
        tuple(dict.fromkeys(args.estimator)), args.threshold, args.ratio, args.pairs, args.seed
    )
    results = examine(subject, args.data, args.split, protocol)
    print(write_report(results, describe(args, subject, protocol), args.out))
    print(f"\n{args.out}: results.json, table.txt (also by sequence), errors.png, sequences.png")
    return 0


def examine(subject: Subject, url: str, splits: Sequence[str], protocol: Protocol) -> list[PairResult]:
    """Results of all pairs of some splits."""
    from relpose_training.commands.progress import progress_line
    from relpose_training.data.shards import ShardSet
    from relpose_training.recipes.one_to_one.examination import examine_pairs, trained_sequences

    trained = trained_sequences(url)
    shards = [ShardSet(url, split) for split in dict.fromkeys(splits)]
    with progress_line() as progress:
        return [r for part in shards for r in examine_pairs(subject, part, trained, protocol, progress)]


def describe(args: argparse.Namespace, subject: Subject, protocol: Protocol) -> dict[str, Any]:
    """What was tested, on what, and how: the head of results.json."""
    from relpose_ros.datasets.download import sha256_of
    from relpose_training.recipes.one_to_one.estimators import describe_estimator

    return {
        "checkpoint": {
            "path": str(args.checkpoint),
            "sha256": sha256_of(args.checkpoint),
            "network": subject.info.network,
            "origin": subject.info.origin,
            "data": subject.info.data,
        },
        "data": args.data,
        "splits": list(args.split),
        "correspondences": subject.size,
        "order": subject.order,
        "methods": {
            "network": "weighted eight-point of all correspondences, no RANSAC (the authors' protocol)",
            "network + ...": "those that the network calls inliers",
            "all, mutual, ratio": f"no network: all, mutual neighbours, ratio below {protocol.ratio:g}",
        },
        "estimators": {name: describe_estimator(name, protocol.threshold) for name in protocol.estimators},
        "seed": protocol.seed,
    }


def write_report(results: Sequence[PairResult], head: dict[str, Any], folder: Path) -> str:
    """Leave results.json, table.txt and the plots in `folder`; returns the tables but those of sequences."""
    from relpose_ros.evaluation.files import plain, write_text
    from relpose_training.recipes.one_to_one.plots import plot_errors, plot_sequences
    from relpose_training.recipes.one_to_one.summary import format_tables, group_results, summarise_group

    members = group_results(results)
    groups = {name: summarise_group(part) for name, part in members.items()}
    pairs = [{**vars(result), "errors": dict(result.errors)} for result in results]
    content = plain({**head, "groups": groups, "pairs": pairs})
    write_text(folder / "results.json", json.dumps(content, indent=1))
    write_text(folder / "table.txt", f"{format_tables(groups)}\n")
    plot_errors(members, folder / "errors.png")
    plot_sequences(groups, folder / "sequences.png")
    return format_tables({name: group for name, group in groups.items() if not name.startswith("sequence ")})
