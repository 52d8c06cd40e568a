"""Training samples of a matcher: a fixed number of keypoints of two images and which of them match.

Randomness is a `numpy.random.RandomState`: its draws are those of the published training, so a seed gives
the published samples (specs/imp.md 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.epipolar import essential_matrix, fundamental_matrix
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.megadepth_dump import DumpedImage, shifted
from relpose_training.data.reprojection_matches import certainly_unmatched

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class SampleOptions:
    """`keypoints` of each image; with `random_inliers`, `min_inliers` to `max_inliers` of the matches.

    `compat` does two things as published: every keypoint that is not matched counts as one without partner
    (else only those that certainly have none: `certainly_unmatched`), and rays and the fundamental matrix
    are half a pixel off, for COLMAP's intrinsics were taken with pixels that count from their centres.
    """

    keypoints: int = 1024
    random_inliers: bool = True
    min_inliers: int = 32
    max_inliers: int = 512
    compat: bool = False


@dataclass(frozen=True, eq=False)
class ImageSample:
    """N keypoints of one image.

    `keypoints` (N, 2) pixels, `rays` (N, 2) on z = 1, `normalised` (N, 2) as the network takes them,
    `descriptors` (N, D), `scores` (N,), `matrix` (3, 3) intrinsics, `size` (width, height), `path`.
    """

    keypoints: NDArray[np.float32]
    rays: Array
    normalised: Array
    descriptors: NDArray[np.float32]
    scores: NDArray[np.float32]
    matrix: Array
    size: tuple[int, int]
    path: str


@dataclass(frozen=True, eq=False)
class MatchingSample:
    """Two images with N keypoints each.

    `matching` (N+1, N+1): 1 at true pairs, in the last column for those of the first without partner, in
    the last row for those of the second; else 0. `second_from_first` in the map's units;
    `essential` (3, 3) is [t]x R, `fundamental` (3, 3) for pixels, both unscaled.
    """

    first: ImageSample
    second: ImageSample
    matching: Array
    second_from_first: Rigid
    essential: Array
    fundamental: Array


class Choice(NamedTuple):
    """Which keypoints of each image a sample takes, in order (N,), and their true pairs (M, 2) in it."""

    first: Index
    second: Index
    pairs: Index


def draw_pairs(
    counts: Mapping[str, int],
    random: np.random.RandomState,
    pairs_per_scene: int = 80,
    compat: bool = False,
) -> list[tuple[str, int]]:
    """An epoch's pairs: up to `pairs_per_scene` of each scene, shuffled; seed by the epoch's number.

    `counts`: scene -> number of pairs, in the order of drawing. Of scenes that have more, `compat`
    draws with replacement, as published: some pairs come twice.
    """
    drawn: list[tuple[str, int]] = []
    for scene, count in counts.items():
        if count > pairs_per_scene:
            chosen = random.choice(count, pairs_per_scene, replace=compat).tolist()
        else:
            chosen = list(range(count))
        drawn += [(scene, index) for index in chosen]
    order = np.arange(len(drawn))
    random.shuffle(order)
    return [drawn[i] for i in order]


def choose_keypoints(
    matches: Index, counts: tuple[int, int], options: SampleOptions, random: np.random.RandomState
) -> Choice:
    """Matches (M, 2) first, then keypoints that are in no match, both images shuffled on their own.

    `counts`: keypoints there are in each image. Raises DatasetError when there are too few in one.
    """
    wanted = options.keypoints
    if min(counts) < wanted:
        raise DatasetError(f"a sample of {wanted} keypoints needs as many in both images, got {counts}")
    others = [_unmatched(matches[:, side], n) for side, n in enumerate(counts)]
    kept = min(len(matches), wanted)
    if options.random_inliers:
        kept = min(random.randint(options.min_inliers, options.max_inliers + 1), kept)
        kept = max(kept, wanted - min(map(len, others)))
        order = np.arange(len(matches))
        random.shuffle(order)
        matches = matches[order]
    for other in others:
        random.shuffle(other)
    chosen = [np.concatenate([matches[:kept, s], others[s][: wanted - kept]]) for s in (0, 1)]
    places = []
    for side in (0, 1):
        order = np.arange(wanted)
        random.shuffle(order)
        chosen[side] = chosen[side][order]
        places.append(np.argsort(order)[:kept])  # where the matches went
    return Choice(chosen[0], chosen[1], np.stack(places, axis=1))


def _unmatched(matched: Index, count: int) -> Index:
    """Which of `count` keypoints are in no match."""
    free = np.ones(count, np.bool_)
    free[matched] = False
    return np.flatnonzero(free)


def matching_sample(
    first: DumpedImage,
    second: DumpedImage,
    matches: Index,
    options: SampleOptions,
    random: np.random.RandomState,
) -> MatchingSample:
    """A sample of a pair with true matches (M, 2).

    Raises DatasetError when an image has too few keypoints, or a match names one that is not there.
    """
    counts = len(first.keypoints), len(second.keypoints)
    if len(matches) and (matches.min() < 0 or (matches.max(axis=0) >= counts).any()):
        raise DatasetError(
            f"matches of {first.image_path} and {second.image_path} name keypoints that are not there"
        )
    choice = choose_keypoints(matches, counts, options, random)
    matrices = [shifted(image.matrix, 0.5 if options.compat else 0.0) for image in (first, second)]
    second_from_first = second.camera_from_world @ first.camera_from_world.inverse()
    return MatchingSample(
        first=_image_sample(first, matrices[0], choice.first),
        second=_image_sample(second, matrices[1], choice.second),
        matching=_matching(choice, first, second, options.compat),
        second_from_first=second_from_first,
        essential=essential_matrix(second_from_first),
        fundamental=fundamental_matrix(second_from_first, *matrices),
    )


def _matching(choice: Choice, first: DumpedImage, second: DumpedImage, compat: bool) -> Array:
    n = len(choice.first)
    matching = np.zeros((n + 1, n + 1))
    if compat:
        matching[:n, n], matching[n, :n] = 1, 1
    else:
        alone0, alone1 = certainly_unmatched(first, second)
        matching[:n, n], matching[n, :n] = alone0[choice.first], alone1[choice.second]
    rows, columns = choice.pairs.T
    matching[rows, n], matching[n, columns] = 0, 0
    matching[rows, columns] = 1
    return matching


def _image_sample(image: DumpedImage, matrix: Array, chosen: Index) -> ImageSample:
    import torch

    from relpose_ros.networks.imp.keypoint_normalisation import normalise_keypoints

    keypoints = image.keypoints[chosen]
    pixels = keypoints.astype(float)
    normalised = normalise_keypoints(torch.from_numpy(pixels), image.size, training=True)
    return ImageSample(
        keypoints=keypoints,
        rays=(pixels - matrix[[0, 1], [2, 2]]) / matrix[[0, 1], [0, 1]],
        normalised=normalised.numpy(),
        descriptors=image.descriptors[chosen],
        scores=image.scores[chosen],
        matrix=matrix,
        size=image.size,
        path=image.image_path,
    )
