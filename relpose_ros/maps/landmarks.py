"""References -> landmarks: match pairs, check them against the known poses, triangulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.base import Features
from relpose_ros.features.matching import match
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.epipolar import essential_matrix, sampson_distance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.triangulation import Observations, triangulate
from relpose_ros.maps.bundle import Landmarks
from relpose_ros.maps.tracks import PairMatches, build_tracks
from relpose_ros.progress import Progress, tracked

Array = NDArray[np.float64]

MATCH_RATIO = 0.85
EPIPOLAR_ERROR_PX = 2.0
REPROJECTION_ERROR_PX = 3.0
MIN_PAIR_MATCHES = 8


@dataclass(frozen=True)
class Reference:
    """One image to map: its name, camera, `map_from_camera`, features and condition.

    `descriptor` (G,): of the whole image, where something has described it already.
    """

    name: str
    camera: Camera
    map_from_camera: Rigid
    features: Features
    condition: str = ""
    descriptor: NDArray[np.float32] | None = None


def match_pairs(
    references: Sequence[Reference], pairs: Sequence[tuple[int, int]], progress: Progress
) -> list[PairMatches]:
    """Matches of each pair that agree with the epipolar geometry of the known poses."""
    rays = [r.camera.rays(r.features.keypoints) for r in references]
    found = verified_matches(references, rays, tentative_matches(references, pairs, progress))
    return [m for m in found if len(m.pairs)]


def tentative_matches(
    references: Sequence[Reference], pairs: Sequence[tuple[int, int]], progress: Progress
) -> list[PairMatches]:
    """Matches of each pair by descriptor alone."""
    found = []
    for i, j in tracked(pairs, progress, "matching"):
        first, second = references[i].features, references[j].features
        matches = match(first.descriptors, second.descriptors, MATCH_RATIO)
        found.append(PairMatches(i, j, matches.pairs, matches.distances))
    return found


def verified_matches(
    references: Sequence[Reference], rays: Sequence[Array], tentative: Sequence[PairMatches]
) -> list[PairMatches]:
    """Of each pair's matches those that agree with the known poses; none where they are too few.

    `rays`: those (N, 2) of each reference's keypoints on z = 1.
    """
    found = []
    for i, j, pairs, distances in tentative:
        first, second = references[i], references[j]
        second_from_first = second.map_from_camera.inverse() @ first.map_from_camera
        distance = sampson_distance(
            essential_matrix(second_from_first), rays[i][pairs[:, 0]], rays[j][pairs[:, 1]]
        )
        good = distance * 0.5 * (first.camera.focal + second.camera.focal) < EPIPOLAR_ERROR_PX
        good &= good.sum() >= MIN_PAIR_MATCHES
        found.append(PairMatches(i, j, pairs[good], distances[good]))
    return found


def triangulate_landmarks(
    references: Sequence[Reference], matches: Sequence[PairMatches]
) -> tuple[Landmarks, list[NDArray[np.int32]]]:
    """Landmarks, and for each reference which landmark each of its keypoints sees (-1: none)."""
    points, covariances, seen = where_seen(references, matches)
    descriptors = mean_descriptors([r.features.descriptors for r in references], seen, len(points))
    return Landmarks(points, covariances, descriptors), seen


def where_seen(
    references: Sequence[Reference], matches: Sequence[PairMatches]
) -> tuple[Array, Array, list[NDArray[np.int32]]]:
    """Points (L, 3), covariances (L, 3, 3), and which point each keypoint of each reference sees (or -1)."""
    tracks = build_tracks(matches, [len(r.features) for r in references])
    count = max((int(t.max(initial=-1)) for t in tracks), default=-1) + 1
    observations = _observations(references, tracks)
    points, covariances, used = triangulate(observations, count, REPROJECTION_ERROR_PX)
    good = np.isfinite(points).all(axis=1) & np.isfinite(covariances).all(axis=(1, 2))
    number = np.where(good, np.cumsum(good) - 1, -1)
    seen = _split(np.where(used, number[observations.track], -1), tracks)
    return points[good], covariances[good], seen


def mean_descriptors(
    descriptors: Sequence[NDArray[np.float32]], seen: Sequence[NDArray[np.int32]], count: int
) -> NDArray[np.float32]:
    """Mean descriptor (L, D) of each landmark over its sightings, L2-normalised."""
    size = descriptors[0].shape[1] if len(descriptors) else 0
    total = np.zeros((count, size), np.float32)
    for values, landmark in zip(descriptors, seen, strict=True):
        chosen = landmark >= 0
        # A reference sees a landmark at most once, so plain indexing adds everything.
        total[landmark[chosen]] += values[chosen]
    norm = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(norm, np.float32(1e-9)))


def _observations(references: Sequence[Reference], tracks: Sequence[NDArray[np.int64]]) -> Observations:
    chosen = [t >= 0 for t in tracks]
    owner = np.concatenate([np.full(c.sum(), i) for i, c in enumerate(chosen)])
    rays = [r.camera.rays(r.features.keypoints[c]) for r, c in zip(references, chosen, strict=True)]
    poses = Rigid.stack([r.map_from_camera for r in references])
    focal = np.array([r.camera.focal for r in references])
    track = np.concatenate([t[c] for t, c in zip(tracks, chosen, strict=True)])
    return Observations(track, np.concatenate(rays), poses[owner], focal[owner])


def _split(values: NDArray[np.integer], tracks: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int32]]:
    """Spread per-observation values back over all keypoints of each reference."""
    out, start = [], 0
    for track in tracks:
        chosen = track >= 0
        full = np.full(len(track), -1, np.int32)
        full[chosen] = values[start : start + chosen.sum()]
        start += int(chosen.sum())
        out.append(full)
    return out
