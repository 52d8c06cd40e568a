"""`relpose prepare clusters`: the cluster centres that a NetVLAD starts from."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands.progress import progress_line

if TYPE_CHECKING:
    from relpose_ros.networks.retrieval.retriever import Retriever

HELP = "cluster centres that NetVLAD starts from (recipe retrieval)"

DESCRIPTION = """\
Local features at random places of random training images, and their cluster centres (faiss k-means). The
same command again takes up one that was interrupted."""

EXAMPLES = """\
relpose checkpoint fetch timm:mobilenetv4-conv-small --out weights/
relpose prepare clusters pitts/ --weights weights/timm-mobilenetv4-conv-small.safetensors --out clusters.hdf5
relpose prepare clusters pitts/ --weights vgg16.safetensors --out vgg.hdf5"""

OF_TRUNK = {
    "retrieval.mobile": "retrieval.mobile_netvlad",
    "retrieval.max_pool_vgg16": "retrieval.netvlad_vgg16",
}
"""Which NetVLAD a trunk's checkpoint is for, where that is another network."""

OF_THE_TRUNK = ("channels", "width", "stride")
"""Parameters that the weights' network and the one to start have in common."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the action."""
    parser.add_argument(
        "data", metavar="DATA", type=Path, help="a place recognition set, whose training images are taken"
    )
    parser.add_argument(
        "--weights", required=True, type=Path, metavar="FILE", help="a checkpoint with the trunk's weights"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="the centres, .safetensors or .hdf5"
    )
    parser.add_argument("--network", metavar="NAME", help="the NetVLAD to start (default: by the weights)")
    parser.add_argument(
        "--stride", type=int, metavar="N", help="of retrieval.mobile_netvlad, as trained with (default 16)"
    )
    parser.add_argument("--dataset", default="auto", metavar="NAME", help="DATA's (default: recognised)")
    parser.add_argument("--images", type=int, default=500, metavar="N", help="at random (default 500)")
    parser.add_argument("--locations", type=int, default=100, metavar="N", help="of each (default 100)")
    parser.add_argument("--clusters", type=int, default=64, metavar="N", help="default 64")
    parser.add_argument("--seed", type=int, default=43, help="everything random follows from it")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="px, as trained with (default 480 640)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: a GPU if there is one)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace) -> int:
    """Sample, cluster, write."""
    from relpose_ros.checkpoints.retrieval_network import retrieval_info
    from relpose_training.engine.device import find_device
    from relpose_training.recipes.retrieval.clusters import (
        ClusterOptions,
        check_ending,
        find_centres,
        sample_descriptors,
        sample_images,
        write_clusters,
    )

    if min(args.images, args.locations, args.clusters) < 1:
        raise ConfigurationError("expected --images, --locations and --clusters of 1 or more")
    check_ending(args.out)
    if args.out.exists() and not args.force:
        raise ConfigurationError(f"{args.out} exists already; choose another --out, or say --force")
    options = ClusterOptions(args.images, args.locations, args.clusters, seed=args.seed)
    network = _network(args)
    network.to(find_device(args.device))
    paths = sample_images(_training_images(args), options)
    part = args.out.with_name(f".{args.out.name}.part")
    info = retrieval_info(network, *(args.size or ()))
    with progress_line() as progress:
        descriptors = sample_descriptors(network, info, paths, options, part, progress)
    with progress_line() as progress:
        centres = find_centres(descriptors, options, progress)
    write_clusters(args.out, centres, descriptors)
    shutil.rmtree(part, ignore_errors=True)
    print(f"{args.out}: {len(centres)} centres of {len(descriptors)} features, {len(paths)} images")
    return 0


def _network(args: argparse.Namespace) -> Retriever:
    """The NetVLAD with the weights in its trunk. Raises ConfigurationError if it is none."""
    from relpose_ros.checkpoints.format import read_info
    from relpose_ros.networks.registry import build_network
    from relpose_ros.networks.retrieval.netvlad import NetVlad
    from relpose_ros.networks.retrieval.retriever import Retriever
    from relpose_training.recipes.retrieval.initial_weights import NETVLAD, start

    header = read_info(args.weights)
    name = args.network or OF_TRUNK.get(header.network, header.network)
    told = {key: value for key, value in header.parameters.items() if key in OF_THE_TRUNK}
    if args.stride is not None:
        told["stride"] = args.stride
    try:
        network = build_network(name, clusters=args.clusters, **told)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; expected one with NetVLAD, as retrieval.mobile_netvlad") from None
    if not isinstance(network, Retriever) or not isinstance(getattr(network, NETVLAD, None), NetVlad):
        raise ConfigurationError(f"{name}: expected a network with NetVLAD, as retrieval.mobile_netvlad")
    start(network, args.weights)
    return network


def _training_images(args: argparse.Namespace) -> list[Any]:
    """Files of the training split."""
    from relpose_ros.datasets.place_recognition.open import open_place_recognition

    dataset = open_place_recognition(args.dataset, args.data)
    images = {*dataset.train.queries, *dataset.train.gallery}
    if not images:
        raise DatasetError(f"{args.data}: expected a training split with images, found none")
    return [dataset.path(image) for image in images]
