"""`relpose test matcher`: poses from matches, by networks and by nearest neighbours, in one table."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relpose_training.data.matching_pairs import PosedPair
    from relpose_training.recipes.matcher.contenders import Contender
    from relpose_training.recipes.matcher.examination import PairResult, Setting

HELP = "poses, precision and matching score of matchers beside mutual nearest neighbours"

EXAMPLES = """\
relpose test matcher --checkpoint run/best.safetensors --data pairs.hdf5 --out report/
relpose test matcher --checkpoint imp.safetensors eimp.safetensors --data yfcc_root_2000.hdf5 \\
    --validation val.hdf5 --out report/      dials (threshold of the estimator, of a match) set on val.hdf5
relpose test matcher ... --estimator magsac --threshold 1      the published protocol on YFCC (ScanNet: 3)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the test."""
    parser.add_argument(
        "--checkpoint",
        nargs="*",
        default=[],
        type=Path,
        metavar="FILE",
        help="matchers (imp.*), .safetensors",
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="FILE",
        help="HDF5 of pairs in the published layout (`relpose prepare matches --evaluation`)",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=Path, metavar="FILE", help="other pairs, on which the dials are set"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="for results.json and plots"
    )
    parser.add_argument(
        "--estimator", default="poselib", choices=("poselib", "magsac", "opencv"),
        help="poselib is the robot's (default), magsac the published one",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=float, metavar="PX", help="inlier threshold of the estimator; default 1"
    )
    parser.add_argument("--pairs", type=int, metavar="N", help="at most so many pairs, the first ones")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="for networks")
    parser.add_argument("--seed", type=int, default=0, help="of the estimator")


def run(args: argparse.Namespace) -> int:
    """Test, print the table, leave files; returns the exit status."""
    from relpose_training.commands.progress import progress_line
    from relpose_training.recipes.matcher.examination import Examiner

    pairs = load_pairs(args.data, args.pairs)
    validation = load_pairs(args.validation, args.pairs) if args.validation else None
    contenders = load_contenders(args.checkpoint, args.device)
    examiner = Examiner(args.estimator, args.seed)
    with progress_line() as progress:
        settings = {c.name: _setting(c, examiner, validation, args.threshold, progress) for c in contenders}
        results = {c.name: examiner.examine(c, settings[c.name], pairs, progress) for c in contenders}
    print(write_report(results, describe(args, contenders, settings), args.out))
    print(f"\n{args.out}: results.json, table.txt, errors.png")
    return 0


def load_pairs(path: Path, most: int | None) -> list[PosedPair]:
    """The pairs of a file, at most so many. Raises DatasetError if there are none."""
    from relpose_ros.errors import DatasetError
    from relpose_training.data.matching_pairs import read_pairs

    pairs = list(itertools.islice(read_pairs(path), most))
    if not pairs:
        raise DatasetError(f"{path}: expected pairs of images, found none")
    return pairs


def load_contenders(checkpoints: Sequence[Path], device: str) -> list[Contender]:
    """Nearest neighbours, and of every checkpoint the network once and in the loop.

    Raises CheckpointError for a checkpoint of something else.
    """
    from relpose_ros.checkpoints.format import load_network
    from relpose_ros.errors import CheckpointError
    from relpose_ros.networks.imp.matcher import Matcher
    from relpose_training.engine.device import find_device
    from relpose_training.recipes.matcher.contenders import Iterative, Nearest, OneShot

    known = {"imp.gm": "gm", "imp.dgnns": "imp", "imp.adagmn": "eimp"}
    contenders: list[Contender] = [Nearest()]
    for path in checkpoints:
        network, info = load_network(path)
        if not isinstance(network, Matcher):
            raise CheckpointError(f"{path}: expected a matcher (imp.*), got {info.network}")
        network = network.to(find_device(device))
        name = known[info.network.removesuffix("_sift")]
        if any(c.name == name for c in contenders):
            name = f"{name}:{path.parent.name}/{path.stem}"
        contenders += [OneShot(name, network), Iterative(f"{name}_iterative", network)]
    return contenders


def _setting(
    contender: Contender,
    examiner: Any,
    validation: Sequence[PosedPair] | None,
    threshold: float | None,
    progress: Any,
) -> Setting:
    from dataclasses import replace

    from relpose_training.recipes.matcher.examination import ERRORS_PX, choose_setting, default_setting

    fixed = (threshold,) if threshold is not None else None
    if validation is not None:
        return choose_setting(examiner, contender, validation, fixed or ERRORS_PX, progress)
    default = default_setting(contender)
    return default if fixed is None else replace(default, max_error_px=fixed[0])


def describe(
    args: argparse.Namespace, contenders: Sequence[Contender], settings: Mapping[str, Setting]
) -> dict[str, Any]:
    """What was tested, on what, and how: the head of results.json."""
    from relpose_ros.datasets.download import sha256_of
    from relpose_training.recipes.matcher.examination import CHOSEN_BY, ESTIMATORS

    chosen = f"by AUC@{CHOSEN_BY:g} on {args.validation}" if args.validation else "defaults"
    return {
        "checkpoints": {str(path): sha256_of(path) for path in args.checkpoint},
        "data": str(args.data),
        "estimator": ESTIMATORS[args.estimator],
        "settings": {
            c.name: {**vars(settings[c.name]), "dial_is": c.what, "chosen": chosen} for c in contenders
        },
        "seed": args.seed,
    }


def write_report(results: Mapping[str, Sequence[PairResult]], head: Mapping[str, Any], folder: Path) -> str:
    """Leave results.json, table.txt and errors.png in `folder`; returns the table."""
    from relpose_ros.evaluation.files import plain, write_text
    from relpose_training.recipes.matcher.plots import plot_errors
    from relpose_training.recipes.matcher.summary import format_table, summarise

    rows = {name: summarise(part) for name, part in results.items()}
    per_pair = {name: [vars(r) for r in part] for name, part in results.items()}
    write_text(
        folder / "results.json", json.dumps(plain({**head, "methods": rows, "pairs": per_pair}), indent=1)
    )
    dials = "\n".join(
        f"{name}: dial {s['dial']:g} ({s['dial_is']}), estimator {s['max_error_px']:g} px, {s['chosen']}"
        for name, s in head["settings"].items()
    )
    table = f"{format_table(rows)}\n\n{head['estimator']}\n{dials}"
    write_text(folder / "table.txt", f"{table}\n")
    plot_errors({name: [r.error_deg for r in part] for name, part in results.items()}, folder / "errors.png")
    return table
