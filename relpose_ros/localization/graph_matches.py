"""What a matcher of whole images says of a query: matches to references, and through them to landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.graph_matching import MatchedImage, PairMatcher, PosedMatches
from relpose_ros.features.matching import NearestNeighbours
from relpose_ros.geometry.robust import RansacOptions
from relpose_ros.geometry.two_view import robust_estimator
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map


class LandmarkMatches(NamedTuple):
    """`features` (M,) of the query, ascending, and the landmark (M,) that each shows."""

    features: NDArray[np.intp]
    landmarks: NDArray[np.int32]


def to_reference(
    map_: Map, query: Query, neighbour: Neighbour, matcher: PairMatcher, ransac: RansacOptions
) -> PosedMatches:
    """Matches to one reference; the robot's estimator says when the pose stands still."""
    estimate = robust_estimator(query.camera, map_.cameras[neighbour.index], ransac)
    return matcher.match_until_posed(_of_query(query), _of_reference(map_, neighbour.index), estimate)


def to_landmarks(
    map_: Map, query: Query, neighbours: Sequence[Neighbour], matcher: PairMatcher, references: int
) -> LandmarkMatches:
    """Which landmarks features show, through the first `references` of the neighbours that see any.

    Where references disagree about a feature, the match with the best score decides.
    """
    seeing = [n.index for n in neighbours if len(map_.visible[n.index])][:references]
    found = matcher.match(_of_query(query), [_of_reference(map_, i) for i in seeing]) if seeing else []
    features, landmarks, scores = [np.zeros(0, np.intp)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    for index, matches in zip(seeing, found, strict=True):
        landmark = map_.features[index].landmarks[matches.pairs[:, 1]]
        seen = landmark >= 0
        features.append(matches.pairs[seen, 0])
        landmarks.append(landmark[seen])
        scores.append(matches.scores[seen])
    feature, landmark = np.concatenate(features), np.concatenate(landmarks)
    best_first = np.argsort(-np.concatenate(scores), kind="stable")
    _, first = np.unique(feature[best_first], return_index=True)
    return LandmarkMatches(feature[best_first[first]], landmark[best_first[first]])


def instead_of_nearest(
    nearest: NearestNeighbours,
    matches: LandmarkMatches,
    landmarks: NDArray[np.integer],
    descriptors: NDArray[np.float32],
    known: NDArray[np.float32],
) -> NearestNeighbours:
    """`nearest` among `landmarks`, ascending, with the matched landmark where a feature has one.

    `descriptors` (N, D) of the features, `known` (L, D) of all landmarks.
    """
    index, distance = nearest.index.copy(), nearest.distance.copy()
    index[matches.features] = np.searchsorted(landmarks, matches.landmarks)
    offset = descriptors[matches.features] - known[matches.landmarks]
    distance[matches.features] = np.linalg.norm(offset, axis=1)
    return replace(nearest, index=index, distance=distance)


def _of_query(query: Query) -> MatchedImage:
    size = (query.camera.width, query.camera.height)
    return MatchedImage(query.features.keypoints, query.features.descriptors, size)


def _of_reference(map_: Map, index: int) -> MatchedImage:
    stored, camera = map_.features[index], map_.cameras[index]
    size = (camera.width, camera.height)
    return MatchedImage(stored.keypoints, stored.descriptors, size, stored.landmarks >= 0)
