"""`relpose test relpose_gnn`: poses from networks over graphs of images, aggregated in several ways."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relpose_training.recipes.relpose_gnn.examination import Examined, Subject

HELP = "poses regressed over graphs of images: aggregation, covariances, published predictions"

EXAMPLES = """\
relpose test relpose_gnn run/best.safetensors graphs/ --out report/
relpose test relpose_gnn one.safetensors two.safetensors rooms/ offices/ --split val --out report/
relpose test relpose_gnn release.safetensors graphs/ --fixed --save-predictions --out report/
                                                        the published graphs, and files as the authors'
relpose test relpose_gnn relpose_gnn__multi_39_*.npz --out report/             their predictions, scored"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the test."""
    parser.add_argument(
        "words",
        nargs="+",
        metavar="CHECKPOINT... DATA",
        help="checkpoints (.safetensors), then folders of `relpose prepare graphs`: every one is tested on "
        "every folder. Published predictions (.npz) need neither",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for table.txt, results.json, errors.png")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="default: test")
    parser.add_argument("--scene", nargs="+", default=[], metavar="NAME", help="only these scenes")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="every N-th query of each scene (default 1: all)"
    )
    _add_graph_arguments(parser)
    parser.add_argument(
        "--save-predictions", action="store_true",
        help="also leave in --out what the first edges say, in files as the authors'",
    )  # fmt: skip
    parser.add_argument(
        "--extrinsic",
        action="store_true",
        help="poses in the .npz files are camera_from_map (theirs of Cambridge Landmarks): camera centres "
        "are scored beside what they published",
    )
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="graphs at once (default 8)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read (default 0)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="for networks")
    parser.add_argument("--seed", type=int, default=0, help="of dropout, where a published network keeps it")


def _add_graph_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--neighbours", type=int, metavar="N", help="references of a query (default: the checkpoint's)"
    )
    parser.add_argument(
        "--period", type=int, metavar="N", help="every N-th of a ranking (default: the checkpoint's)"
    )
    parser.add_argument(
        "--fixed", action="store_true", help="the references drawn when published graphs were made"
    )


def run(args: argparse.Namespace) -> int:
    """Test, print the tables, leave files where they are asked for; returns the exit status."""
    from relpose_training.recipes.relpose_gnn import results
    from relpose_training.recipes.relpose_gnn.published_predictions import read_predictions, write_predictions

    checkpoints, files, folders = split_words(args.words)
    check_options(args)
    scored = {file: read_predictions(file, args.extrinsic) for file in files}
    subjects = load_subjects(checkpoints, args.device)
    tests = examine_all(subjects, folders, args)
    stems = {subject.name: Path(file).stem for subject, file in zip(subjects, checkpoints, strict=True)}
    published = [examined.published(stems[examined.subject]) for examined in tests]
    own = [one for scenes in published for one in scenes]
    # Camera centres are in the tests' tables: only where theirs are no centres is there more to say.
    table = results.format_results(tests, [*(one for one in own if one.extrinsic), *scored.values()])
    print(table)
    if args.out is not None:
        content = results.collect(head(checkpoints, folders, args), tests, published, scored)
        print(f"\n{results.write_results(args.out, content, table, tests)}")
    if args.save_predictions:
        for predictions in own:
            print(write_predictions(args.out, predictions))
    return 0


def split_words(words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Checkpoints, files of predictions and folders. Raises ConfigurationError if one kind is missing."""
    from relpose_ros.errors import ConfigurationError

    words = list(dict.fromkeys(words))
    checkpoints = [word for word in words if word.endswith(".safetensors")]
    files = [word for word in words if word.endswith(".npz")]
    folders = [word for word in words if word not in (*checkpoints, *files)]
    if bool(checkpoints) != bool(folders):
        missing = "a folder of graphs to test on" if checkpoints else "checkpoints (.safetensors)"
        raise ConfigurationError(f"expected {missing} among the arguments, got only {' '.join(words)}")
    return checkpoints, files, folders


def check_options(args: argparse.Namespace) -> None:
    """Raises ConfigurationError for options that mean nothing."""
    from relpose_ros.errors import ConfigurationError

    counts = {"--every": args.every, "--batch": args.batch, "--workers": args.workers + 1}
    counts |= {"--neighbours": 1 if args.neighbours is None else args.neighbours}
    counts |= {"--period": 1 if args.period is None else args.period}
    for name, value in counts.items():
        if value < 1:
            raise ConfigurationError(f"expected a greater number than that for {name}")
    if args.save_predictions and args.out is None:
        raise ConfigurationError("--save-predictions needs --out, the folder to leave them in")


def load_subjects(checkpoints: Sequence[str], device: str) -> list[Subject]:
    """The checkpoints by their names; with their folders' where two have one name. Raises CheckpointError."""
    from relpose_training.engine.device import find_device
    from relpose_training.recipes.relpose_gnn.examination import load_subject

    stems = [Path(word).stem for word in checkpoints]
    where = find_device(device)
    return [
        load_subject(Path(word), stem if stems.count(stem) == 1 else word, where)
        for word, stem in zip(checkpoints, stems, strict=True)
    ]


def examine_all(
    subjects: Sequence[Subject], folders: Sequence[str], args: argparse.Namespace
) -> list[Examined]:
    """Every checkpoint on every folder."""
    import torch

    from relpose_training.commands.progress import progress_line
    from relpose_training.data.graph_dataset import read_graphs
    from relpose_training.recipes.relpose_gnn.examination import examine, open_graphs

    splits = [read_graphs(folder, args.split).chosen(args.scene) for folder in folders]
    chosen = {name: getattr(args, name) for name in ("neighbours", "period", "fixed", "every")}
    pairs = [(subject, open_graphs(subject, split, **chosen)) for split in splits for subject in subjects]
    tests = []
    with progress_line() as progress:
        for subject, data in pairs:
            torch.manual_seed(args.seed)
            tests.append(examine(subject, data, args.batch, args.workers, progress))
    return tests


def head(checkpoints: Sequence[str], folders: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    """What was tested: the head of results.json."""
    from relpose_ros.datasets.download import sha256_of

    return {
        "checkpoints": {path: sha256_of(Path(path)) for path in checkpoints},
        "data": list(folders),
        "split": args.split,
        "seed": args.seed,
    }
