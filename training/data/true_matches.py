"""Labels of a pair of images: which keypoints show the same point, and which certainly have no partner."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_training.data.matching_fields import TrueMatches
from relpose_training.data.reprojection_matches import (
    PosedKeypoints,
    ReprojectionOptions,
    certainly_unmatched,
    reprojection_matches,
)

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """The different places of an image's keypoints: SIFT describes some places in several orientations.

    `first` (P,): a keypoint of each place; `place` (N,): which place each keypoint is at.
    """

    first: Index
    place: Index

    @classmethod
    def of(cls, keypoints: NDArray[np.floating]) -> Places:
        """Of keypoints (N, 2): equal coordinates are one place, in order of their first keypoint."""
        _, first, place = np.unique(keypoints, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return cls(first[order], np.argsort(order)[place.ravel()])


def true_matches(
    first: PosedKeypoints,
    second: PosedKeypoints,
    descriptors: tuple[NDArray[np.float32], NDArray[np.float32]],
    options: ReprojectionOptions,
) -> TrueMatches:
    """Labels of two images' keypoints, by their depth and poses (`reprojection_matches`).

    Several keypoints at one place are told apart by their `descriptors`, (N0, D) and (N1, D) of length 1:
    geometry cannot. Such a keypoint that is left over has no label. `options.compat`: as published, the
    places are not told apart.
    """
    if options.compat:
        alone = certainly_unmatched(first, second, options)
        pairs = reprojection_matches(first, second, options).inliers
        return _labels(pairs, alone)
    places = Places.of(first.keypoints), Places.of(second.keypoints)
    reduced = _at(first, places[0].first), _at(second, places[1].first)
    found = reprojection_matches(*reduced, options).inliers
    alone0, alone1 = certainly_unmatched(*reduced, options)
    pairs = _told_apart(found, places, descriptors)
    return _labels(pairs, (alone0[places[0].place], alone1[places[1].place]))


def _labels(pairs: Index, alone: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> TrueMatches:
    masks = [mask.copy() for mask in alone]
    for side, mask in enumerate(masks):
        mask[pairs[:, side]] = False
    return TrueMatches(pairs, np.flatnonzero(masks[0]), np.flatnonzero(masks[1]))


def _at(image: PosedKeypoints, index: Index) -> PosedKeypoints:
    return replace(image, keypoints=image.keypoints[index], depth=image.depth[index])


def _told_apart(
    found: Index, places: tuple[Places, Places], descriptors: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> Index:
    """Pairs of keypoints (M, 2) of pairs of places (P, 2): the most similar first, each keypoint once."""
    members = [_members(p, len(p.first)) for p in places]
    pairs: list[tuple[int, int]] = []
    for a, b in found.tolist():
        here, there = members[0][a], members[1][b]
        similarity = descriptors[0][here] @ descriptors[1][there].T
        for _ in range(min(similarity.shape)):
            i, j = np.unravel_index(int(similarity.argmax()), similarity.shape)
            pairs.append((int(here[i]), int(there[j])))
            similarity[i], similarity[:, j] = -np.inf, -np.inf
    ordered = np.array(sorted(pairs), np.int64)
    return ordered.reshape(-1, 2)


def _members(places: Places, count: int) -> list[Index]:
    """The keypoints at each place."""
    order = np.argsort(places.place, kind="stable")
    ends = np.cumsum(np.bincount(places.place, minlength=count))
    return np.split(order, ends[:-1]) if count else []
