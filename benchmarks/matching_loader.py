"""Loading pairs for a matcher: our shards against the straightforward layout, in one run.

The straightforward one is that of the published training: one file an image (keypoints, scores, descriptors
in float32) and one a pair (numbers of the keypoints that match), all three opened for every pair, N keypoints
chosen by the same rule, the (N+1, N+1) matrix of matches filled. Both see the same pairs and give batches of
tensors; nobody loads ahead. Rounds alternate, so that both meet the same load of the machine. All files are
in the page cache: a disk only makes the difference larger.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1600, 1200


def main(arguments: Sequence[str]) -> None:
    """Print pairs per second and bytes a pair of both, and the ratio."""
    parser = argparse.ArgumentParser(prog="benchmarks matching_loader", description=__doc__)
    parser.add_argument("--pairs", type=int, default=64, help="in the data (default 64)")
    parser.add_argument("--images", type=int, default=32, help="that the pairs are of (default 32)")
    parser.add_argument("--stored", type=int, default=4096, help="keypoints of an image (default 4096)")
    parser.add_argument("--keypoints", type=int, default=1024, help="N, that a sample has (default 1024)")
    parser.add_argument("--size", type=int, default=128, help="numbers of a descriptor (default 128)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4, help="in a round (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="of each (default 5)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="relpose-pairs-") as name:
        folder = Path(name)
        _write(folder, options)
        rates = _measure(folder, options)
        sizes = {kind: _bytes(folder / kind) / options.pairs / 1e6 for kind in rates}
    print(f"{'':<34}pairs/s   MB a pair on disk")
    for kind, what in (("plain", "a file an image, a file a pair"), ("shards", "shards of relpose prepare")):
        print(f"{what:<34}{rates[kind]:>7.1f}{sizes[kind]:>20.2f}")
    print(f"ratio {rates['shards'] / rates['plain']:.2f} (median of {options.rounds} alternating rounds)")


def _images(options: argparse.Namespace) -> list[dict[str, NDArray[Any]]]:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(options.images):
        descriptors = np.abs(rng.normal(size=(options.stored, options.size))).astype(np.float32)
        images.append(
            {
                "keypoints": rng.uniform([0, 0], [WIDTH, HEIGHT], (options.stored, 2)).astype(np.float32),
                "scores": rng.uniform(0, 1, options.stored).astype(np.float32),
                "descriptors": descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True),
                "intrinsics": np.array([[1200.0, 0, 800], [0, 1200, 600], [0, 0, 1]]),
            }
        )
    return images


def _pairs(options: argparse.Namespace) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    rng = np.random.default_rng(1)
    for _ in range(options.pairs):
        i, j = rng.permutation(options.images)[:2].tolist()
        count = options.stored // 8
        yield i, j, np.stack([rng.permutation(options.stored)[:count] for _ in (0, 1)], axis=1)


def _write(folder: Path, options: argparse.Namespace) -> None:
    from relpose_training.data.matching_fields import VARYING
    from relpose_training.data.shard_writer import write_shards

    images = _images(options)
    (folder / "plain").mkdir()
    for k, image in enumerate(images):
        np.savez(folder / "plain" / f"image_{k}.npz", **image)  # type: ignore[arg-type]
    for k, (i, j, matches) in enumerate(_pairs(options)):
        np.savez(folder / "plain" / f"pair_{k}.npz", images=[i, j], matches=matches, pose=np.eye(4))
    samples = (_stored(images[i], images[j], matches) for i, j, matches in _pairs(options))
    write_shards(samples, folder / "shards", "train", 4, VARYING)


def _stored(first: Any, second: Any, matches: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    from relpose_ros.geometry.rigid import Rigid
    from relpose_training.data.matching_fields import StoredImage, TrueMatches, encode, matching_fields

    sides = []
    for image in (first, second):
        K = image["intrinsics"]
        rays = (image["keypoints"] - K[:2, 2]) / K[[0, 1], [0, 1]]
        codes = encode(image["descriptors"])
        sides.append(StoredImage(image["keypoints"], image["scores"], codes, rays, K, (WIDTH, HEIGHT)))
    alone = [np.setdiff1d(np.arange(len(first["keypoints"])), matches[:, k])[::2] for k in (0, 1)]
    move = Rigid(np.eye(3), np.array([1.0, 0, 0]))
    return matching_fields(sides[0], sides[1], TrueMatches(matches, *alone), move, 0.5)


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    loaders = {"plain": _plain(folder / "plain", options), "shards": _shards(folder / "shards", options)}
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for number in range(options.rounds + 1):
        for name, loader in loaders.items():
            started = time.perf_counter()
            for _ in range(options.batches):
                next(loader)
            if number:  # the first one warms up
                seconds = time.perf_counter() - started
                rates[name].append(options.batches * options.batch_size / seconds)
    return {name: statistics.median(values) for name, values in rates.items()}


def _shards(folder: Path, options: argparse.Namespace) -> Iterator[Any]:
    from relpose_training.data.matching_sample import SampleOptions
    from relpose_training.data.shards import ShardSet
    from relpose_training.data.stream import batches
    from relpose_training.recipes.matcher.dataset import MatchingPairs

    pairs = MatchingPairs(ShardSet(folder, "train"), SampleOptions(options.keypoints))
    return iter(batches(pairs, options.batch_size, seed=0))


def _plain(folder: Path, options: argparse.Namespace) -> Iterator[Any]:
    """What one writes first."""
    import torch

    rng = np.random.default_rng(0)
    while True:
        numbers = rng.integers(options.pairs, size=options.batch_size).tolist()
        samples = [_plain_sample(folder, number, options.keypoints) for number in numbers]
        yield {
            name: torch.stack([torch.from_numpy(sample[name]) for sample in samples]) for name in samples[0]
        }


def _plain_sample(folder: Path, number: int, keypoints: int) -> dict[str, NDArray[Any]]:
    from relpose_training.data.matching_sample import SampleOptions, choose_keypoints

    pair = np.load(folder / f"pair_{number}.npz", allow_pickle=False)
    images = [np.load(folder / f"image_{k}.npz", allow_pickle=False) for k in pair["images"]]
    points = [image["keypoints"] for image in images]
    random = np.random.RandomState(number)
    counts = len(points[0]), len(points[1])
    choice = choose_keypoints(pair["matches"], counts, SampleOptions(keypoints), random)
    matching = np.zeros((keypoints + 1, keypoints + 1), np.float32)
    matching[:-1, -1] = matching[-1, :-1] = 1
    for a, b in choice.pairs:
        matching[a, -1] = matching[-1, b] = 0
        matching[a, b] = 1
    sample: dict[str, NDArray[Any]] = {"matching": matching, "pose": pair["pose"].astype(np.float32)}
    for side, chosen in enumerate((choice.first, choice.second)):
        K = images[side]["intrinsics"]
        chosen_points = points[side][chosen]
        offset = [WIDTH / 2, HEIGHT / 2]
        sample[f"keypoints{side}"] = ((chosen_points - offset) / (0.7 * WIDTH)).astype(np.float32)
        sample[f"rays{side}"] = ((chosen_points - K[:2, 2]) / K[[0, 1], [0, 1]]).astype(np.float32)
        sample[f"descriptors{side}"] = images[side]["descriptors"][chosen]
        sample[f"scores{side}"] = images[side]["scores"][chosen]
    return sample


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
