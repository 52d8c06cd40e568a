"""A matcher on a robot's processor: torch as it is, its batches, ONNX Runtime, and the dial of iterations.

    python -m benchmarks matcher_runtime [--keypoints 512] [--iterations 6] [--references 4] [--no-onnx]
    python -m benchmarks matcher_runtime --checkpoint run/best.safetensors

Milliseconds of processor time per reference on one thread, in turns. Without a checkpoint the networks do
about what mutual nearest neighbours do. ONNX Runtime does the iterations alone, as on the robot; its files
are made in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import describe_machine, markdown, number
from benchmarks.timing import race
from relpose_ros.features.graph_matching import GraphMatcher, MatchedImage

SIZE = (640, 480)
NETWORKS = {"IMP": "imp.dgnns", "EIMP": "imp.adagmn"}


def image(count: int, size: int, seed: int) -> MatchedImage:
    """Features whose first halves agree between all seeds."""
    rng, common = np.random.default_rng(seed), np.random.default_rng(99)
    descriptors = rng.normal(size=(count, size))
    half = count // 2
    descriptors[:half] = common.normal(size=(half, size)) + 0.2 * descriptors[:half]
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    keypoints = rng.uniform(0, SIZE, (count, 2))
    return MatchedImage(keypoints.astype(np.float32), descriptors.astype(np.float32), SIZE)


def checkpoints(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of what is measured."""
    if args.checkpoint is not None:
        yield args.checkpoint.stem, args.checkpoint
        return
    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.networks.imp.matcher import Matcher
    from relpose_ros.networks.registry import build_network
    from relpose_training.recipes.matcher.start import start_as_nearest_neighbours

    for title, name in NETWORKS.items():
        parameters: dict[str, Any] = {"iterations": args.iterations, "descriptor_size": args.size}
        network = build_network(name, **parameters)
        assert isinstance(network, Matcher)
        start_as_nearest_neighbours(network)
        info = CheckpointInfo(name, parameters)
        yield title, write_checkpoint(folder / f"{name}.safetensors", network.state_dict(), info)


def row(title: str, checkpoint: Path, args: argparse.Namespace, folder: Path) -> list[str]:
    """One network: ms per reference each way."""
    made = GraphMatcher(checkpoint, keypoints=args.keypoints, backend="torch")
    light = GraphMatcher(checkpoint, args.light, keypoints=args.keypoints, backend="torch")
    size = made.network.descriptor_size
    query, *references = (image(args.keypoints, size, seed) for seed in range(args.references + 1))
    ways: dict[str, Callable[[], Any]] = {
        "one": lambda: made.match(query, references[:1]),
        "batch": lambda: made.match(query, references),
        "light": lambda: light.match(query, references[:1]),
    }
    if args.onnx:
        os.environ["XDG_CACHE_HOME"] = str(folder)
        fast = GraphMatcher(checkpoint, keypoints=args.keypoints, backend="onnxruntime")
        ways["onnx"] = lambda: fast.match(query, references[:1])
        ways["onnx batch"] = lambda: fast.match(query, references)
    times = race(ways, repeats=args.repeats, patience=args.patience, clock=time.process_time)
    for name in ("batch", "onnx batch"):
        if name in times:
            times[name] /= len(references)
    cells = [times["one"], times["batch"], times.get("onnx"), times.get("onnx batch"), times["light"]]
    return [title, str(args.keypoints), str(made.iterations), *(number(cell) for cell in cells)]


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="benchmarks matcher_runtime", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--keypoints", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--light", type=int, default=4, help="iterations of the light setting")
    parser.add_argument("--size", type=int, default=64, help="numbers of a descriptor")
    parser.add_argument("--references", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds that a network may take")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--no-onnx", dest="onnx", action="store_false")
    args = parser.parse_args(arguments)
    print(describe_machine(), "\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(title, path, args, Path(folder)) for title, path in checkpoints(args, Path(folder))]
    batch = f"{args.references} at once ms"
    header = ("network", "keypoints", "iterations", "torch ms", f"torch, {batch}", "ONNX Runtime ms",
              f"ONNX Runtime, {batch}", f"torch, {args.light} iterations ms")  # fmt: skip
    print(markdown(header, rows))
