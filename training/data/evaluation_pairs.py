"""Evaluation sets in the published HDF5 layout, from posed images of ours or published raw layouts."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from relpose_ros.errors import DatasetError
from relpose_ros.features.base import Extractor
from relpose_ros.features.registry import make_extractor
from relpose_ros.features.resized import Resized
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.progress import Progress, silent
from relpose_training.data.matching_fields import StoredImage, decode
from relpose_training.data.matching_options import MatchingOptions
from relpose_training.data.matching_pairs import ImageFeatures, PosedPair, write_pairs
from relpose_training.data.matching_sequences import labelled_pairs
from relpose_training.data.matching_views import ViewMaker
from relpose_training.data.published_pairs import PublishedPairs
from relpose_training.data.sequences import PosedSequence
from relpose_training.data.shards import Sample


def write_evaluation(
    path: Path,
    source: PublishedPairs | Sequence[PosedSequence],
    options: MatchingOptions,
    progress: Progress = silent,
    report: Callable[[str], None] = lambda line: None,
) -> int:
    """Write the pairs to `path`, which appears when it is whole; returns how many.

    Of sequences the pairs are chosen as for training. Features are kept in `PATH.building` until then, so
    that a run that was interrupted goes on. Raises DatasetError without a pair.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f"{path.name}.building")
    made = (
        _published(source, options, folder, progress)
        if isinstance(source, PublishedPairs)
        else _of_sequences(source, options, folder, progress, report)
    )
    first = next(made, None)
    if first is None:
        raise DatasetError(f"{path}: there is no pair to write; take other bounds of overlap or matches")
    count = write_pairs(path, _chained(first, made))
    shutil.rmtree(folder, ignore_errors=True)
    return count


def _of_sequences(
    sequences: Sequence[PosedSequence],
    options: MatchingOptions,
    folder: Path,
    progress: Progress,
    report: Callable[[str], None],
) -> Iterator[PosedPair]:
    for sequence in sequences:
        tally = options.new_tally()
        for pair in labelled_pairs(
            sequence, options, folder / _key(repr(sequence), options), progress, tally
        ):
            names = (f"{sequence.name}/{pair.names[0]}", f"{sequence.name}/{pair.names[1]}")
            yield _pair_of_sample(pair.sample, names)
        report(f"{sequence.name}: {tally.sentence()}")


def _published(
    source: PublishedPairs, options: MatchingOptions, folder: Path, progress: Progress
) -> Iterator[PosedPair]:
    extractor: Extractor = make_extractor(options.features, options.max_keypoints)
    if source.size is not None:
        extractor = Resized(extractor, source.size)
    maker = ViewMaker(extractor, folder / _key(source.name, options), options.storage, options.scores, {})
    images = source.images()
    for done, (i, j) in enumerate(source.pairs, 1):
        first, second = (maker.view(k, images[k]) for k in (i, j))
        progress(done, len(source.pairs), f"pair {done}")
        second_from_first = second.sight.map_from_camera.inverse() @ first.sight.map_from_camera
        yield evaluation_pair(first.image, second.image, second_from_first, (first.name, second.name))


def evaluation_pair(
    first: StoredImage, second: StoredImage, second_from_first: Rigid, names: tuple[str, str]
) -> PosedPair:
    """Two images as the layout has them: keypoints as a lens without distortion would show them."""
    away = max(float(np.linalg.norm(second_from_first.translation)), 1e-12)
    return PosedPair(
        (_features(first), _features(second)),
        (np.asarray(first.matrix, float), np.asarray(second.matrix, float)),
        names,
        Rigid(second_from_first.rotation, second_from_first.translation / away),
    )


def _features(image: StoredImage) -> ImageFeatures:
    K = np.asarray(image.matrix, float)
    pixels = image.rays * K[[0, 1], [0, 1]] + K[:2, 2]
    columns = np.concatenate([pixels, image.scores[:, None]], axis=1)
    return ImageFeatures(columns.astype(np.float32), decode(image.descriptors))


def _pair_of_sample(sample: Sample, names: tuple[str, str]) -> PosedPair:
    first, second = (
        StoredImage(
            sample[f"keypoints{k}"], sample[f"scores{k}"], sample[f"descriptors{k}"], sample[f"rays{k}"],
            sample[f"K{k}"].astype(float), (int(sample[f"size{k}"][0]), int(sample[f"size{k}"][1])),
        )
        for k in (0, 1)
    )  # fmt: skip
    pose = Rigid(sample["R"].astype(float), sample["t"].astype(float))
    return evaluation_pair(first, second, pose, names)


def _key(name: str, options: MatchingOptions) -> str:
    return hashlib.sha256(f"{name} {options}".encode()).hexdigest()[:16]


def _chained(first: PosedPair, rest: Iterator[PosedPair]) -> Iterator[PosedPair]:
    yield first
    yield from rest
