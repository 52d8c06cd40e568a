"""RootSIFT in fewer dimensions (features/compression.py): correct matches, and what a map stores.

    python -m benchmarks descriptor_size [--data FOLDER] [--pairs N]

Pairs of images with known poses, of a simulated world and of the scenes in --data. The keypoints
are the same for all sizes, and so is the ratio of the ratio test.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.known_pairs import KnownPair, known_pairs
from benchmarks.report import describe_machine, markdown
from benchmarks.sources import scenes, simulated
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.features.compression import COMPRESSED_DIMENSION, dequantize, frequency_basis, quantize
from relpose_ros.features.matching import match
from relpose_ros.features.sift import root_sift

Floats = NDArray[np.float32]

DIMENSIONS = (32, 48, 64, 96, 128)
FULL = "128 float32"
MAX_KEYPOINTS = 1500


class Count(NamedTuple):
    """Matches, and how many of them are right."""

    right: int = 0
    made: int = 0

    def plus(self, other: Count) -> Count:
        """Both together."""
        return Count(self.right + other.right, self.made + other.made)


Counts = dict[str, Count]


def reduce(descriptors: Floats, dimension: int) -> Floats:
    """RootSIFT (N, 128) -> (N, dimension), L2-normalised; all 128 as they are."""
    if dimension == descriptors.shape[1]:
        return descriptors
    reduced = descriptors @ frequency_basis(dimension)
    return np.asarray(reduced / np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9), np.float32)


def variants(descriptors: Floats) -> dict[str, Floats]:
    """All sizes, and the default one as a map stores it."""
    floats = {f"{d} float32": reduce(descriptors, d) for d in DIMENSIONS}
    stored = dequantize(quantize(reduce(descriptors, COMPRESSED_DIMENSION)))
    return {**floats, f"{COMPRESSED_DIMENSION} int8 (as stored)": stored}


def describe(image: PosedImage) -> tuple[Floats, dict[str, Floats]]:
    """Keypoints (N, 2) and the variants of their descriptors."""
    sift: Any = cv2.SIFT.create(MAX_KEYPOINTS, enable_precise_upscale=True)
    pixels = image.load()
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    keypoints, raw = sift.detectAndCompute(grey, None)
    if raw is None:
        raw = np.zeros((0, 128), np.float32)
    return np.reshape(cv2.KeyPoint.convert(keypoints), (-1, 2)), variants(root_sift(raw))


def count(pair: KnownPair, ratio: float) -> Counts:
    """Matches of one pair by variant."""
    (first, ours), (second, theirs) = describe(pair.first), describe(pair.second)
    counts = {}
    for name, descriptors in ours.items():
        pairs = match(descriptors, theirs[name], ratio).pairs
        right = pair.judge(first[pairs[:, 0]], second[pairs[:, 1]])
        counts[name] = Count(int(right.sum()), len(pairs))
    return counts


def measure(source: Source, pairs: int, ratio: float) -> tuple[int, Counts]:
    """How many pairs of a source, and its matches by variant."""
    chosen = known_pairs(source, pairs)
    total: Counts = {}
    for pair in chosen:
        total = added(total, count(pair, ratio))
    return len(chosen), total


def added(first: Counts, second: Counts) -> Counts:
    """The sums by variant."""
    return {name: first.get(name, Count()).plus(counted) for name, counted in second.items()}


def row(name: str, pairs: int, counts: Counts) -> list[object]:
    """Of one source: right matches of all 128 dimensions, and the share of them that each size has."""
    full = counts[FULL]
    cells = [
        f"{100 * c.right / max(full.right, 1):.1f} ({100 * c.right / max(c.made, 1):.0f})"
        for c in counts.values()
    ]
    return [name, pairs, full.right, *cells]


def size(name: str) -> int:
    """Bytes of a descriptor of that variant."""
    return int(name.split()[0]) * (1 if "int8" in name else 4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks descriptor_size", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, help="also on the scenes in this folder")
    parser.add_argument("--pairs", type=int, default=60, help="of each scene, at most (default: %(default)s)")
    parser.add_argument("--ratio", type=float, default=0.85, help="of the ratio test (default: %(default)s)")
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    sources = [simulated(references=60, queries=1), *(scenes(args.data) if args.data else ())]
    rows, pairs, total = [], 0, Counts()
    for source in sources:
        used, counts = measure(source, args.pairs, args.ratio)
        rows.append(row(source.name, used, counts))
        pairs, total = pairs + used, added(total, counts)
    names = [f"{name}, {size(name)} bytes" for name in total]
    print(
        "Right matches in percent of those of all 128 dimensions (and how many of all matches are right):\n"
    )
    print(markdown(["scene", "pairs", "right by 128", *names], [*rows, row("**all**", pairs, total)]))


if __name__ == "__main__":
    main()
