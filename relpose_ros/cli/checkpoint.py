"""`relpose checkpoint import|info|fetch|calibrate|export|networks`: weights as files that run nothing."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli import calibrate_scene
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.tables import format_facts, format_table
from relpose_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from relpose_ros.checkpoints.catalogue import Release
    from relpose_ros.cli.parser import CommandParser, Subparsers

EXAMPLES = """\
relpose checkpoint fetch                                    what is published, under which licence
relpose checkpoint fetch openibl:sfrs-4096 --out weights/   download, check, import
relpose checkpoint import imp eimp_sift.pth                 published weights -> eimp_sift.safetensors
relpose checkpoint import openibl model_best.pth.tar pca_params_model_best.h5 --out sfrs.safetensors
relpose checkpoint info sfrs.safetensors
relpose checkpoint calibrate office.safetensors office/     learn how far a scene's network is off
relpose checkpoint export eimp.safetensors                  ONNX files that make a matcher faster on a CPU
relpose checkpoint networks                                 every network that a checkpoint can be of"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser(
        "checkpoint",
        help="import, fetch and look into weights of networks",
        description="Weights of networks: safetensors files with a header that says what they are.\n"
        "Published files are read as data; nothing in them is ever executed.",
        examples=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_import(actions.add_parser("import", help="make a checkpoint of published weights"))
    info = actions.add_parser("info", help="what a checkpoint says of itself")
    info.add_argument("file", type=Path, metavar="FILE", help="a .safetensors checkpoint")
    info.add_argument("--json", action="store_true", help="as JSON, with every tensor's shape")
    fetch = actions.add_parser("fetch", help="download published weights and import them")
    fetch.add_argument(
        "name", metavar="NAME", nargs="?", help="as openibl:sfrs-4096; without it, what there is is listed"
    )
    fetch.add_argument(
        "--accept-licence", action="store_true", help="you have read the licence and accept it"
    )
    fetch.add_argument(
        "--out", type=Path, default=Path("weights"), metavar="FOLDER", help="default: weights/"
    )
    calibrate_scene.add_arguments(
        actions.add_parser(
            "calibrate",
            help="learn how far a scene's network is off",
            description="Localize posed images that the network was not trained on, fit its covariance and\n"
            "the support that rules out chance to what comes out, and write both into the checkpoint.",
        )
    )
    _add_export(actions.add_parser("export", help="make the ONNX files of a matcher"))
    actions.add_parser("networks", help="every registered network")


def _add_import(parser: CommandParser) -> None:
    parser.add_argument(
        "system", metavar="SYSTEM", help="whose weights: openibl, pytorch-netvlad, timm, torchvision, "
        "torchvision-caffe, relpose-gnn, imp, one-to-one, oanet, dsacstar, transpose, crossloc, kfnet",
    )  # fmt: skip
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=Path,
        help="the published file; for openibl also a model and its PCA, or a trunk and cluster centres",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: the first file's name .safetensors"
    )
    parser.add_argument(
        "--network", metavar="NAME", help="which network it is of, where its tensors do not tell"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="an argument of the network's constructor, as compat=true; may be repeated",
    )  # fmt: skip
    parser.add_argument("--licence", help="of these weights, if not that of the system")
    parser.add_argument("--origin", help="where they come from, if not from the system's own page")
    parser.add_argument("--data", default="not stated", help="what they were trained on")
    parser.add_argument("--force", action="store_true", help="replace an existing checkpoint")


def _add_export(parser: CommandParser) -> None:
    parser.description = (
        "Make ONNX files of the iterations of a matcher (imp.*), in the cache ($XDG_CACHE_HOME/relpose).\n"
        "From then on the localizer takes ONNX Runtime for them, which is faster on a CPU. Other networks\n"
        "need no such command: theirs are made when they are first used."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a .safetensors checkpoint of imp.*")
    parser.add_argument(
        "--iterations", type=int, metavar="N", help="as matcher_iterations of the localizer; default: all"
    )


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    return ACTIONS[args.action](args)


def _import(args: argparse.Namespace) -> int:
    from relpose_ros.checkpoints.importing import ImportOptions, import_checkpoint

    out = args.out or args.files[0].with_suffix("").with_suffix(".safetensors")
    if out.exists() and not args.force:
        raise ConfigurationError(f"{out} exists already; choose another --out, or say --force")
    options = ImportOptions(
        network=args.network,
        parameters=parse_settings(args.settings),
        licence=args.licence,
        origin=args.origin,
        data=args.data,
    )
    info = import_checkpoint(args.system, args.files, out, options)
    print(f"{out}: {info.network}, nothing missing, nothing left over; licence: {info.licence}")
    return 0


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`key=value` with YAML values. Raises ConfigurationError for anything else."""
    import yaml

    parsed = {}
    for setting in settings:
        key, mark, value = setting.partition("=")
        if not mark or not key.isidentifier():
            raise ConfigurationError(f"expected --set KEY=VALUE, got {setting!r}")
        try:
            parsed[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigurationError(f"--set {setting}: {value!r} is no YAML value") from None
    return parsed


def _info(args: argparse.Namespace) -> int:
    from relpose_ros.checkpoints.format import read_info, tensor_shapes

    info, shapes = asdict(read_info(args.file)), tensor_shapes(args.file)
    if args.json:
        print(json.dumps({**info, "tensors": shapes}, indent=2))
        return 0
    counts = {"tensors": len(shapes), "values": sum(prod(shape) for shape in shapes.values())}
    size = {"megabytes": round(args.file.stat().st_size / 1e6, 1)}
    print(format_facts({name: value for name, value in {**info, **counts, **size}.items() if value != {}}))
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from relpose_ros.checkpoints.catalogue import CATALOGUE, find_release
    from relpose_ros.checkpoints.fetch import fetch_checkpoint

    if args.name is None:
        print(format_table((release.name, release.publisher.licence) for release in CATALOGUE.values()))
        return 0
    accepted = args.accept_licence or _ask(find_release(args.name))
    with progress_bar(f"fetching {args.name}") as progress:
        path = fetch_checkpoint(args.name, args.out, accepted, progress)
    print(path)
    return 0


def _ask(release: Release) -> bool:
    """Show the licence and, where it is non-commercial and somebody is there, ask."""
    from relpose_ros.checkpoints.fetch import licence_note

    if not release.publisher.non_commercial or not sys.stdin.isatty():
        return False
    print(licence_note(release), file=sys.stderr)
    return input("Do you accept this licence? [yes/no] ").strip().lower() == "yes"


def _export(args: argparse.Namespace) -> int:
    from relpose_ros.features.graph_matching import GraphMatcher
    from relpose_ros.features.onnx_iterations import iteration_files

    made = GraphMatcher(args.file, args.iterations, backend="onnxruntime")
    for (start, stop), path in iteration_files(made.network, args.file, made.iterations).items():
        print(f"iterations {start + 1} to {stop}: {path}")
    return 0


def _networks(args: argparse.Namespace) -> int:
    import torch

    from relpose_ros.networks.registry import ARCHITECTURES, build_network

    with torch.device("meta"):
        states = {name: build_network(name).state_dict() for name in ARCHITECTURES}
    counts = {name: sum(t.numel() for t in state.values()) for name, state in states.items()}
    print(format_table((name, f"{count / 1e6:8.2f} M values") for name, count in counts.items()))
    return 0


ACTIONS = {
    "import": _import,
    "info": _info,
    "fetch": _fetch,
    "calibrate": calibrate_scene.run,
    "export": _export,
    "networks": _networks,
}
