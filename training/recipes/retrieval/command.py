"""`relpose test retrieval`: recall of the weight-free default and of trained networks, in one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relpose_ros.retrieval.pca import Pca
    from relpose_training.recipes.retrieval.examination import Examined
    from relpose_training.recipes.retrieval.fitting import FittedTo
    from relpose_training.recipes.retrieval.ranking import RankingOptions
    from relpose_training.recipes.retrieval.subjects import NetworkSubject, Subject
    from relpose_training.recipes.retrieval.tested import Tested

HELP = "recall of image retrieval: checkpoints beside the weight-free default, re-ranked or not"

EXAMPLES = """\
relpose test retrieval vlad places/ --report report/                    the weight-free default
relpose test retrieval vlad run/best.safetensors places/ tokyo/ --rerank --report report/
relpose test retrieval run/best.safetensors places/ --pca 256 --save small.safetensors
relpose test retrieval run/best.safetensors tokyo/ --pca 512 --pca-data pitts/ --json tokyo.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the test."""
    parser.add_argument(
        "words",
        nargs="+",
        metavar="CHECKPOINT... DATA",
        help="checkpoints (.safetensors), plugged-in models (.yaml), and `vlad`, the default of maps, which "
        "needs no weights; then folders of place recognition sets. Every one is tested on every set",
    )
    parser.add_argument(
        "--dataset", default="auto", metavar="NAME", help="what the folders hold (default: auto)"
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="default: test")
    parser.add_argument("--queries", type=int, metavar="N", help="at most so many queries of a set")
    parser.add_argument(
        "--at",
        type=int,
        nargs="+",
        default=[1, 5, 10, 20],
        metavar="N",
        help="of recall@N (default 1 5 10 20)",
    )
    parser.add_argument(
        "--rule",
        default="auto",
        choices=("auto", "plain", "tokyo"),
        help="tokyo: one answer a place, queries in their own aspect; auto: for the test split of tokyo",
    )
    _add_network_arguments(parser)
    _add_rerank_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="all results, with every query")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="for index.html (hits and misses as pictures), results.json, table.txt and curves",
    )
    parser.add_argument(
        "--regions",
        action="store_true",
        help="mark in the page where in its first answer a query is found, for networks that compare regions",
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="the one checkpoint, ending with the PCA (.safetensors)"
    )


def _add_network_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pca", type=int, metavar="DIM", help="each network also with a PCA and whitening to so many values"
    )
    parser.add_argument(
        "--pca-data",
        metavar="FOLDER",
        help="the set whose training split it is fitted to (default: the first tested one that has one)",
    )
    parser.add_argument(
        "--size", type=_size, metavar="HxW", help="of what networks see (default: the checkpoint's)"
    )
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="images at once (default 16)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="for the networks")
    parser.add_argument("--seed", type=int, default=43, help="of the images a PCA is fitted to (default 43)")


def _add_rerank_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rerank", action="store_true", help="everything also re-ranked by k-reciprocal neighbours"
    )
    parser.add_argument(
        "--shortlist", type=int, default=100, metavar="N", help="re-ranked answers (default 100)"
    )
    parser.add_argument("--k1", type=int, default=20, help="neighbours tested for reciprocity (default 20)")
    parser.add_argument("--k2", type=int, default=6, help="neighbours averaged (default 6; 1: none)")
    parser.add_argument(
        "--distance-weight", type=float, default=0.3, metavar="W", help="of the first distance (default 0.3)"
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="re-rank queries and gallery as one set, as OpenIBL does; for small sets",
    )
    parser.add_argument(
        "--compat", action="store_true", help="with --whole: of distances squared twice, as OpenIBL has it"
    )


def run(args: argparse.Namespace) -> int:
    """Test, print the table, leave files; returns the exit status."""
    from relpose_training.recipes.retrieval.regions import region_comparers
    from relpose_training.recipes.retrieval.results import collect_results, write_files
    from relpose_training.recipes.retrieval.tested import open_tested

    checkpoints, folders = split_words(args.words)
    options = check_options(args, checkpoints)
    check_outputs(args.json, args.report, args.save)
    sets = [open_tested(f, args.dataset, args.split, args.queries, args.rule) for f in folders]
    subjects = load_subjects(checkpoints, args)
    comparers = region_comparers(subjects) if args.regions else {}
    rows, fitted = examine_all(subjects, sets, options, args)
    results = collect_results(rows, subjects, fitted, args)
    print(results.table)
    for path in write_files(results, args.json, args.report, comparers):
        print(path)
    return 0


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is tested, and folders to test it on. Raises ConfigurationError if one of the two is missing."""
    from relpose_ros.errors import ConfigurationError
    from relpose_training.recipes.retrieval.plugged_in import ENDINGS
    from relpose_training.recipes.retrieval.weight_free import VLAD

    endings = (".safetensors", *ENDINGS)
    checkpoints = [word for word in dict.fromkeys(words) if word == VLAD or word.endswith(endings)]
    folders = [word for word in dict.fromkeys(words) if word not in checkpoints]
    if not checkpoints or not folders:
        missing = (
            "a folder to test on" if checkpoints else f"checkpoints (.safetensors), models (.yaml) or {VLAD}"
        )
        raise ConfigurationError(f"expected {missing} among the arguments, got only {' '.join(words)}")
    return checkpoints, folders


def check_options(args: argparse.Namespace, checkpoints: Sequence[str]) -> RankingOptions:
    """How answers are ranked. Raises ConfigurationError for options that contradict each other."""
    from relpose_ros.errors import ConfigurationError
    from relpose_ros.retrieval.rerank import RerankOptions
    from relpose_training.recipes.retrieval.ranking import RankingOptions

    counts = {"--at": min(args.at), "--shortlist": args.shortlist, "--batch": args.batch}
    counts |= {"--queries": args.queries or 1, "--pca": args.pca if args.pca is not None else 1}
    for name, value in counts.items():
        if value < 1:
            raise ConfigurationError(f"expected {name} of 1 or more, got {value}")
    networks = [c for c in checkpoints if c.endswith(".safetensors")]
    if args.save and (args.pca is None or len(networks) != 1):
        raise ConfigurationError("expected --pca and exactly one checkpoint with --save")
    if (args.pca_data and args.pca is None) or (args.pca is not None and not networks):
        raise ConfigurationError("expected --pca DIM and a checkpoint (.safetensors) to fit it to")
    if args.regions and not args.report:
        raise ConfigurationError("expected --report with --regions: they are marked in its pictures")
    if (args.whole and not args.rerank) or (args.compat and not args.whole):
        raise ConfigurationError("expected --rerank with --whole, and --whole with --compat")
    rerank = RerankOptions(args.k1, args.k2, args.distance_weight) if args.rerank else None
    return RankingOptions(max(args.at), rerank, args.shortlist, args.whole, args.compat)


def check_outputs(json: Path | None, report: Path | None, save: Path | None) -> None:
    """Make the folders that files will go to: better now than after hours. Raises ConfigurationError."""
    from relpose_ros.errors import ConfigurationError

    if save is not None and save.suffix != ".safetensors":
        raise ConfigurationError(f"expected --save with a name that ends in .safetensors, got {save}")
    for folder in filter(None, (json and json.parent, report, save and save.parent)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{folder}: expected a folder to write to ({error})") from error


def load_subjects(checkpoints: Sequence[str], args: argparse.Namespace) -> list[Subject]:
    """What is tested, under names of their own. Raises CheckpointError for a file that cannot be."""
    from relpose_training.recipes.retrieval.plugged_in import PluggedInSubject
    from relpose_training.recipes.retrieval.subjects import NetworkSubject
    from relpose_training.recipes.retrieval.weight_free import VLAD, VladSubject

    subjects: list[Subject] = []
    for word in checkpoints:
        if word == VLAD:
            subjects.append(VladSubject())
            continue
        subject: NetworkSubject | PluggedInSubject
        if word.endswith(".safetensors"):
            subject = NetworkSubject(Path(word), args.device, args.batch, args.size)
        else:
            subject = PluggedInSubject(Path(word))
        subject.name = _free_name(Path(word), [other.name for other in subjects])
        subjects.append(subject)
    return subjects


def examine_all(
    subjects: Sequence[Subject], sets: Sequence[Tested], options: RankingOptions, args: argparse.Namespace
) -> tuple[list[Examined], FittedTo | None]:
    """All rows, and what the PCAs were fitted to. With --save the checkpoint is written first."""
    from relpose_training.commands.progress import progress_line
    from relpose_training.recipes.retrieval.examination import examine
    from relpose_training.recipes.retrieval.fitting import fit_pca, training_images
    from relpose_training.recipes.retrieval.subjects import NetworkSubject

    images = training_images(sets, args.pca_data, args.seed) if args.pca is not None else None
    pcas: dict[str, Pca] = {}
    for subject in subjects:
        if images is not None and isinstance(subject, NetworkSubject):
            pcas[subject.name] = fit_pca(subject, images, args.pca, progress_line)
            if args.save:
                _save(subject, pcas[subject.name], images.about, args.save)
    rows = [
        row
        for tested in sets
        for subject in subjects
        for row in examine(subject, tested, pcas.get(subject.name), options, progress_line)
    ]
    return rows, images.about if images else None


def _save(subject: NetworkSubject, pca: Pca, fitted: FittedTo, path: Path) -> None:
    from relpose_training.recipes.retrieval.fitting import save_whitened

    save_whitened(subject, pca, fitted, path)
    print(f"{path}: {subject.name} with a PCA to {pca.dimension} values, fitted to {fitted}")


def _free_name(path: Path, taken: Sequence[str]) -> str:
    """The file's name; run folders hold files of one name, so with the folder's; never one that is taken."""
    name = f"{path.parent.name}/{path.stem}" if path.parent.name else path.stem
    number = sum(other == name or other.startswith(f"{name} #") for other in taken)
    return f"{name} #{number + 1}" if number else name


def _size(word: str) -> tuple[int, int]:
    height, _, width = word.partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 16):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH of 16 pixels or more, got {word!r}")
    return int(height), int(width)
