"""`python -m benchmarks NAME [options]`; without a name, the quick set (no data needed)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from relpose_ros.errors import RelposeError

BENCHMARKS = {
    "scenes": "every posed scene: accuracy, covariance, latency by stage, map size (the README's table)",
    "robot": "every scene as single frames and with odometry: false poses, covariance, kidnappings",
    "robot_node": "the localizer node over DDS at 10 Hz: processor and memory",
    "strangers": "images that a map does not contain: how many poses are published all the same",
    "thresholds": "each threshold that a user can set, varied: availability, error, false poses, time",
    "pruner": "a correspondence network between matching and solvers: does it earn its place?",
    "matcher": "the localizer with and without a graph matcher, strangers too",
    "scene_coordinates": "a network of scene coordinates against the map on the same queries",
    "scene_ransac": "the pose from scene coordinates against a loop of OpenCV P3P calls",
    "sim_to_real": "what simulated images teach about a real camera, with few real ones, contrast, depth",
    "stages": "every stage against a straightforward version of itself",
    "networks": "every network's forward pass: eager, compiled, ONNX Runtime, OpenVINO (minutes)",
    "training_throughput": "our shards, loader and training loop against a straightforward loop",
    "matching_networks": "IMP and EIMP against exhaustive attention: time and memory by keypoints",
    "matcher_runtime": "a matcher on one core: torch, its batches, ONNX Runtime, fewer iterations",
    "graph_latency": "relative poses by a network: references' descriptors from the map, or from images",
    "relative_estimators": "regression alone, refined, structure alone, classical relative alone, by scene",
    "matching_loader": "pairs of images for a matcher: our shards against a file an image and a file a pair",
    "threads": "BLAS with one thread and with two, on an idle and on a busy machine",
    "descriptor_size": "RootSIFT in 32 to 128 dimensions: correct matches and size",
    "retrieval_backbones": "VGG16 with NetVLAD, the small trunk and VLAD: image to global descriptor",
    "retrieval_index": "ways to search a million global descriptors: recall, memory, time",
    "map_opening": "a map of many references: seconds until it answers, memory",
}
"""Name of the module here -> what it measures. Each has `main(arguments)`."""

QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("stages", ()),
    ("descriptor_size", ("--pairs", "20")),
    ("retrieval_index", ("--sizes", "20000", "--queries", "50", "--only", "exact", "signatures", "HNSW")),
    ("training_throughput", ("--rounds", "2", "--steps", "4")),
    ("threads", ()),  # last: it makes the machine busy
)
"""What runs without a name: some two minutes on two cores."""


def listing() -> str:
    """What there is, one line each."""
    lines = [f"  {name:<21}{what}" for name, what in BENCHMARKS.items()]
    return "\n".join([__doc__ or "", "", *lines, "", "`python -m benchmarks NAME --help` lists its options."])


def run(name: str, arguments: Sequence[str]) -> None:
    """Run one benchmark."""
    importlib.import_module(f"benchmarks.{name}").main(arguments)


def main(words: Sequence[str]) -> int:
    """Run what the words say. Exit status 2 for a name that does not exist."""
    if not words:
        print("The load average from the second one on is partly that of the ones before.")
        for name, arguments in QUICK:
            print(f"\n## {name}: {BENCHMARKS[name]}\n", flush=True)
            run(name, arguments)
        return 0
    name, rest = words[0], words[1:]
    if name in ("-h", "--help", "list"):
        print(listing())
        return 0
    if name not in BENCHMARKS:
        print(f"{name!r} is not a benchmark.\n{listing()}", file=sys.stderr)
        return 2
    run(name, rest)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except RelposeError as failure:
        sys.exit(str(failure))
