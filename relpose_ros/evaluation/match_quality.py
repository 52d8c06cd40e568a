"""How good matches are, judged by the true epipolar geometry alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.epipolar import epipolar_line_distances, essential_matrix
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


class MatchQuality(NamedTuple):
    """`precision`: correct share of the matches; `score`: correct matches per keypoint of the first image."""

    precision: float
    score: float
    correct: NDArray[np.bool_]  # (M,)


def match_quality(
    second_from_first: Rigid, first: Array, second: Array, keypoints: int, threshold: float = 0.005
) -> MatchQuality:
    """Quality of M matches, rays (M, 2), (M, 2) on z = 1, among `keypoints` of the first image.

    A match is correct when the mean of its two distances to the epipolar lines is below `threshold`, on
    z = 1 (Sarlin et al. 2020 threshold a squared sum instead). No matches: precision and score are 0.
    """
    distances = epipolar_line_distances(essential_matrix(second_from_first), first, second)
    correct = np.asarray(np.add(*distances) / 2 < threshold)
    share = float(correct.mean()) if len(correct) else 0.0
    return MatchQuality(share, float(correct.sum()) / max(keypoints, 1), correct)


def epipolar_inlier_rate(
    fundamental: Array,
    first: Array,
    second: Array,
    first_size: tuple[int, int],
    second_size: tuple[int, int],
    threshold: float = 0.003,
) -> float:
    """Share of matches, pixels (M, 2), (M, 2), whose distances to both epipolar lines are small.

    Small: below `threshold` of the image's diagonal, sizes (width, height) (Bian et al., FM-Bench,
    BMVC 2019). 0 when there are no matches.
    """
    in_first, in_second = epipolar_line_distances(fundamental, first, second)
    small1 = in_first < threshold * np.hypot(*first_size)
    small2 = in_second < threshold * np.hypot(*second_size)
    return float(np.mean(small1 & small2)) if len(first) else 0.0
