"""Posed images -> labelled pairs: chosen by overlap, from easy to hard, labels checked for visibility."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import DatasetError, ImageError
from relpose_ros.features.registry import make_extractor
from relpose_ros.progress import Progress, silent
from relpose_training.data.correspondences import evenly
from relpose_training.data.matching_fields import matching_fields
from relpose_training.data.matching_options import MatchingOptions, MatchingTally
from relpose_training.data.matching_views import MatchingView, ViewMaker
from relpose_training.data.sequences import PosedSequence
from relpose_training.data.shards import Sample
from relpose_training.data.true_matches import true_matches
from relpose_training.data.view_pairs import easy_to_hard, overlaps

Array = NDArray[np.float64]


class LabelledPair(NamedTuple):
    """The names of two images, and the pair as shards hold it."""

    names: tuple[str, str]
    sample: Sample


def labelled_pairs(
    sequence: PosedSequence,
    options: MatchingOptions,
    folder: Path,
    progress: Progress = silent,
    tally: MatchingTally | None = None,
) -> Iterator[LabelledPair]:
    """The pairs of a sequence. `tally` is filled, and features are kept in `folder`, on the way.

    `progress` counts images, then pairs. Raises DatasetError when fewer than two images have a pose, or
    nothing tells which keypoints match.
    """
    tally = tally if tally is not None else options.new_tally()
    images = _usable(sequence, options, tally)
    total = len(images) + options.pairs
    points = landmarks_of(sequence)
    views = _views(sequence, images, options, folder, points, progress, tally)
    table = _overlaps(sequence, views, options, points)
    tally.overlapping = int(np.triu(table >= options.least_overlap, 1).sum())
    for i, j in easy_to_hard(table, options.least_overlap, np.random.default_rng([options.seed, 13])):
        if tally.kept == options.pairs:
            break
        sample = labelled_pair(views[i], views[j], float(table[i, j]), options, tally)
        if sample is not None:
            tally.add(sample)
            progress(len(images) + tally.kept, total, f"{sequence.name}: pair {tally.kept}")
            yield LabelledPair((views[i].name, views[j].name), sample)


def labelled_pair(
    first: MatchingView, second: MatchingView, overlap: float, options: MatchingOptions, tally: MatchingTally
) -> Sample | None:
    """A pair as shards hold it, or None if it is not worth learning from."""
    if min(len(first.image.keypoints), len(second.image.keypoints)) < options.least_keypoints:
        tally.few_keypoints += 1
        return None
    descriptors = first.descriptors, second.descriptors
    truth = true_matches(first.posed, second.posed, descriptors, options.reprojection())
    if len(truth.pairs) < options.least_matches:
        tally.few_true += 1
        return None
    second_from_first = second.sight.map_from_camera.inverse() @ first.sight.map_from_camera
    return matching_fields(first.image, second.image, truth, second_from_first, overlap)


def _usable(
    sequence: PosedSequence, options: MatchingOptions, tally: MatchingTally
) -> list[tuple[int, PosedImage]]:
    """Images with a pose, at most as many as asked for, each with its number."""
    images = sequence.images()
    posed = [(k, image) for k, image in enumerate(images) if image.map_from_camera is not None]
    tally.without_pose = len(images) - len(posed)
    if len(posed) < 2:
        raise DatasetError(
            f"{sequence.name}: {len(posed)} of {len(images)} images have a pose; expected two or more"
        )
    return [posed[k] for k in evenly(len(posed), options.images)]


def _views(
    sequence: PosedSequence,
    images: Sequence[tuple[int, PosedImage]],
    options: MatchingOptions,
    folder: Path,
    points: Mapping[str, Array] | None,
    progress: Progress,
    tally: MatchingTally,
) -> list[MatchingView]:
    extractor = make_extractor(options.features, options.max_keypoints)
    maker = ViewMaker(extractor, folder, options.storage, options.scores, points)
    views = []
    for done, (number, image) in enumerate(images, 1):
        try:
            views.append(maker.view(number, image))
        except ImageError:
            tally.unreadable += 1
        progress(done, len(images) + options.pairs, f"{sequence.name}: image {done}")
    tally.images = len(views)
    return views


def landmarks_of(sequence: PosedSequence) -> Mapping[str, Array] | None:
    """The points that images of a sequence see, by name, or None where that is not known."""
    landmarks = getattr(sequence, "landmarks", None)
    return None if landmarks is None else landmarks()


def _overlaps(
    sequence: PosedSequence,
    views: Sequence[MatchingView],
    options: MatchingOptions,
    points: Mapping[str, Array] | None,
) -> Array:
    """Overlaps (V, V) of pairs that may be taken, else 0."""
    known = getattr(sequence, "overlaps", None)
    if known is not None:
        table = known([view.name for view in views])
    elif points is not None and all(view.sight.depth is None for view in views):
        seen = common_landmarks([points.get(view.name, np.zeros((0, 3))) for view in views])
        table = np.where(seen.common >= options.least_common, seen.share, 0.0)
    else:
        table = overlaps([view.sight for view in views])
    positions = np.array([view.sight.map_from_camera.translation for view in views]).reshape(-1, 3)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    fits = (table <= options.most_overlap) & (apart >= options.least_baseline)
    return np.asarray(np.where(fits, table, 0.0))


class CommonLandmarks(NamedTuple):
    """For each two of V images: how many landmarks both see, and that as a share of the larger number."""

    common: Array
    share: Array


def common_landmarks(points: Sequence[Array]) -> CommonLandmarks:
    """Of the points (M, 3) that each image sees; the same point has the same coordinates."""
    from scipy.sparse import csr_array

    counts = np.array([len(p) for p in points])
    everything = np.concatenate([np.zeros((0, 3)), *points])
    distinct, which = np.unique(everything, axis=0, return_inverse=True)
    rows = np.repeat(np.arange(len(points)), counts)
    ones = np.ones(len(rows))
    seen = csr_array((ones, (rows, which.ravel())), shape=(len(points), max(len(distinct), 1)))
    common = np.asarray((seen @ seen.T).todense(), float)
    np.fill_diagonal(common, 0.0)
    return CommonLandmarks(common, common / np.maximum(np.maximum(counts[:, None], counts), 1))
