"""Image to global descriptor at 640 x 480: VGG16 with NetVLAD, the small trunk, and VLAD without weights.

    python -m benchmarks retrieval_backbones [--threads 2] [--only mobile] [--json FILE]

Everything starts from the same decoded image. The networks run as on a robot (`CheckpointDescriber`: ONNX
Runtime or OpenVINO, whichever `Predictor` chooses) and in plain torch, in turns in one run, with random
weights: times do not depend on them. VLAD includes the SIFT features, which a localizer has anyway.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.report import describe_machine, machine, markdown
from benchmarks.timing import race
from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.checkpoints.retrieval_network import retrieval_info
from relpose_ros.features.sift import RootSift
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.retrieval.retriever import Retriever
from relpose_ros.retrieval.learned import CheckpointDescriber
from relpose_ros.retrieval.vlad import Vlad, kmeans

HEIGHT, WIDTH = 480, 640
BASE = "VGG16 NetVLAD"
WEIGHT_FREE = "SIFT and VLAD"

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Backbone:
    """A registered network with parameters."""

    name: str
    network: str
    parameters: dict[str, Any] = field(default_factory=dict)


SMALL, SMALL_VLAD = "retrieval.mobile", "retrieval.mobile_netvlad"
BACKBONES = (
    Backbone(BASE, "retrieval.netvlad_vgg16"),
    Backbone("VGG16 NetVLAD, PCA 512", "retrieval.netvlad_vgg16_pca", {"dimension": 512}),
    Backbone("VGG16 NetVLAD, PCA 4096", "retrieval.netvlad_vgg16_pca"),
    Backbone("mobile GeM 256", SMALL, {"dimension": 256}),
    Backbone("mobile GeM 512", SMALL, {"dimension": 512}),
    Backbone("mobile GeM 512, stride 32", SMALL, {"dimension": 512, "stride": 32}),
    Backbone("mobile NetVLAD 256", SMALL_VLAD, {"whitened": 256}),
    Backbone("mobile NetVLAD 512", SMALL_VLAD, {"whitened": 512}),
    Backbone("mobile NetVLAD 512, stride 32", SMALL_VLAD, {"whitened": 512, "stride": 32}),
)


@dataclass
class Contestant:
    """Both ways to run one, and what its table row says besides times."""

    robot: Callable[[Image], object]
    torch: Callable[[Image], object] | None
    values: int
    parameters: int = 0
    megabytes: float = 0.0


def prepare(backbone: Backbone, folder: Path, threads: int) -> Contestant:
    """A checkpoint with random weights, loaded as a robot does and as torch does."""
    torch.manual_seed(0)
    network = build_network(backbone.network, **backbone.parameters).eval()
    if not isinstance(network, Retriever):
        raise TypeError(f"expected a retriever, got {backbone.network}")
    fed = retrieval_info(network, HEIGHT, WIDTH)
    info = CheckpointInfo(backbone.network, backbone.parameters, retrieval=fed.to_dict())
    path = write_checkpoint(folder / f"{backbone.name}.safetensors", network.state_dict(), info)
    describer = CheckpointDescriber(path, threads=threads, cache=folder)
    return Contestant(
        describer.describe,
        lambda image: _in_torch(network, fed, image),
        network.descriptor_size,
        sum(value.numel() for value in network.parameters()),
        path.stat().st_size / 1e6,
    )


def weight_free(image: Image) -> Contestant:
    """SIFT and VLAD as a map has them: 32 clusters, of this image, and 256 values, along random axes."""
    sift = RootSift()
    centres = kmeans(sift.extract(image).descriptors, 32)
    basis = np.random.default_rng(0).standard_normal((centres.size, 256)).astype(np.float32)
    vlad = Vlad(centres, np.zeros(centres.size, np.float32), basis)
    return Contestant(lambda seen: vlad.encode(sift.extract(seen).descriptors), None, vlad.dimension)


def scene_like(seed: int = 0) -> Image:
    """A picture (480, 640, 3) of overlapping shapes: as many SIFT features as a map keeps of an image."""
    import cv2

    generator = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for _ in range(900):
        x, y, size = (int(v) for v in generator.integers((0, 0, 4), (WIDTH, HEIGHT, 40)))
        colour = tuple(int(v) for v in generator.integers(0, 256, 3))
        cv2.rectangle(image, (x, y), (x + size, y + size // 2), colour, -1)
    return image


def rows(contestants: dict[str, Contestant], times: dict[str, float]) -> list[list[object]]:
    """One row each: what it is, milliseconds, and how many times as fast as the base in the same column."""
    table = []
    for name, one in contestants.items():
        cells: list[object] = [name, one.values, f"{one.parameters / 1e6:.2f}", f"{one.megabytes:.1f}"]
        for column in ("robot", "torch"):
            taken, base = (times.get(f"{column} {which}") for which in (name, BASE))
            cells.append("-" if taken is None else f"{taken:.1f}")
            cells.append("-" if taken is None or base is None else f"{base / taken:.1f}")
        table.append(cells)
    return table


def _in_torch(network: Retriever, fed: RetrievalInfo, image: Image) -> object:
    with torch.inference_mode():
        return network(torch.from_numpy(network_input(image, fed)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks retrieval_backbones", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9, help="rounds at most (default 9)")
    parser.add_argument("--patience", type=float, default=60.0, metavar="S", help="fewer rounds after that")
    parser.add_argument("--only", metavar="WORD", help=f"networks whose names hold it, and {BASE}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the times in milliseconds as well")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    print(f"{describe_machine()}\n", flush=True)
    chosen = [b for b in BACKBONES if not args.only or b.name == BASE or args.only in b.name]
    image = scene_like()
    with tempfile.TemporaryDirectory() as folder:
        console = Console(stderr=True)
        contestants = {
            b.name: prepare(b, Path(folder), args.threads) for b in track(chosen, "export", console=console)
        }
        contestants[WEIGHT_FREE] = weight_free(image)
        runs: dict[str, Callable[[], object]] = {}
        for name, one in contestants.items():
            runs[f"robot {name}"] = lambda one=one: one.robot(image)  # type: ignore[misc]
            if one.torch is not None:
                runs[f"torch {name}"] = lambda run=one.torch: run(image)  # type: ignore[misc]
        times = race(runs, args.repeats, args.patience)
    header = ("network", "values", "M parameters", "MB", "robot ms", "VGG16/this", "torch ms", "VGG16/this")
    print(markdown(header, rows(contestants, times)), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps({"machine": machine(), "milliseconds": times}, indent=2))


if __name__ == "__main__":
    main()
