"""Places that look alike: matches between them are refused, and the map remembers which they are.

Two views of equal doors match as well as two views of one door. If the doors differ by a translation along
the corridor, the matches even agree with the epipolar geometry of the known poses: parallel rays meet far
behind the wall, or nowhere. What gives them away is the depth. Neighbouring views, which certainly show one
place, already say where a thing is; a match from elsewhere that claims another position is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions, relative_pose, shared_focal
from relpose_ros.maps.landmarks import Reference, verified_matches, where_seen
from relpose_ros.maps.tracks import PairMatches

Array = NDArray[np.float64]
Pairs = NDArray[np.int32]

CONTRADICTION_PX = 8.0
CONTRADICTION_SIGMA = 4.0
"""A match is refused that is further than both together from where neighbouring views saw the thing. The
pixels are twice what a landmark's observations are allowed, and more: known poses are not exact either."""

MIN_RIGHT = 4
"""Matches of a pair that must agree with what is known before its others are believed."""

TWIN_ANGLE = 0.05
"""Contradictions beyond this (rad) are no fault of the known poses."""

MIN_TWIN_MATCHES = 18
"""Matches that agree on a relative pose which is not the known one: as many as the relative road takes."""

_TWIN_RANSAC = RansacOptions(1.5, 30, 300)


class Sorted(NamedTuple):
    """`matches` to make landmarks of, and `twins`: references i < j that seem to show look-alikes, with the
    number of matches that say so."""

    matches: list[PairMatches]
    twins: dict[tuple[int, int], int]


def sort_out(
    references: Sequence[Reference],
    tentative: Sequence[PairMatches],
    near: set[tuple[int, int]],
    known: Sequence[PairMatches] = (),
) -> Sorted:
    """Tell matches of one place from those of look-alikes.

    `tentative`: matches by descriptor alone, of which the right ones come back. Pairs in `near` certainly
    show one place; theirs, and the `known` ones, say where things are. All other matches must
    agree with that.
    """
    rays = [r.camera.rays(r.features.keypoints) for r in references]
    verified = verified_matches(references, rays, tentative)
    trusted = [*known, *(v for v in verified if (v.first, v.second) in near)]
    places = _Places(references, rays, trusted)
    kept: list[PairMatches] = []
    twins: dict[tuple[int, int], int] = {}
    for raw, good in zip(tentative, verified, strict=True):
        pair = (raw.first, raw.second)
        if pair in near:
            kept += [good] if len(good.pairs) else []
            continue
        angle, slack = places.disagreement(good)
        focal = shared_focal(references[raw.first].camera, references[raw.second].camera)
        wrong = angle * focal > CONTRADICTION_PX + CONTRADICTION_SIGMA * slack * focal
        # What cannot be checked is believed where most of what can be is right.
        unknown = ~np.isfinite(angle)
        right = int((~wrong & ~unknown).sum())
        fine = ~wrong & (~unknown | (right >= max(wrong.sum(), MIN_RIGHT)))
        kept += [PairMatches(*pair, good.pairs[fine], good.distances[fine])] if fine.any() else []
        support = _twin_support(references, rays, raw, *places.disagreement(raw))
        if support:
            twins[pair] = support
    return Sorted(kept, twins)


def places_apart(twins: Mapping[tuple[int, int], int], visible: Sequence[NDArray[np.integer]]) -> Pairs:
    """The twins (P, 2) that are places apart, in order; `visible`: landmarks that each reference sees.

    Two views of one place, which repeats itself, share more landmarks than matches contradict them.
    """
    kept = [
        (i, j)
        for (i, j), support in sorted(twins.items())
        if np.isin(visible[i], visible[j], assume_unique=True).sum() < support
    ]
    return np.array(kept, np.int32).reshape(-1, 2)


def _twin_support(
    references: Sequence[Reference], rays: Sequence[Array], raw: PairMatches, angle: Array, slack: Array
) -> int:
    """How many matches agree on a relative pose other than the known one, if most contradict that; else 0."""
    wrong = angle > TWIN_ANGLE + CONTRADICTION_SIGMA * slack
    if wrong.sum() < max(MIN_TWIN_MATCHES, 0.5 * np.isfinite(angle).sum()):
        return 0
    pairs = raw.pairs[wrong]
    focal = shared_focal(references[raw.first].camera, references[raw.second].camera)
    found = relative_pose(rays[raw.first][pairs[:, 0]], rays[raw.second][pairs[:, 1]], focal, _TWIN_RANSAC)
    # Wrong matches between wide views of one place find a pose by chance, which a minority agrees with.
    agreeing = 0 if found is None else int(found.inliers.sum())
    return agreeing if agreeing >= max(MIN_TWIN_MATCHES, 0.5 * len(pairs)) else 0


class _Places:
    """Where trusted matches put the keypoints of each reference."""

    def __init__(
        self, references: Sequence[Reference], rays: Sequence[Array], trusted: Sequence[PairMatches]
    ) -> None:
        self._poses = [r.map_from_camera for r in references]
        self._rays = rays
        self._points, self._covariances, self._seen = where_seen(references, trusted)

    def disagreement(self, matches: PairMatches) -> tuple[Array, Array]:
        """Angle (M,) by which each match misses where its keypoints are known to be, and its deviation (M,).

        Of both ends the one that misses by more deviations; NaN where neither is known.
        """
        i, j = matches.first, matches.second
        a, b = matches.pairs.T
        forth = self._miss(self._seen[i][a], self._poses[j], self._rays[j][b])
        back = self._miss(self._seen[j][b], self._poses[i], self._rays[i][a])
        excess = np.stack([e - CONTRADICTION_SIGMA * s for e, s in (forth, back)])
        worse = np.where(np.isnan(excess), -np.inf, excess).argmax(axis=0)
        rows = np.arange(len(worse))
        return np.stack([forth[0], back[0]])[worse, rows], np.stack([forth[1], back[1]])[worse, rows]

    def _miss(self, point: NDArray[np.integer], pose: Rigid, rays: Array) -> tuple[Array, Array]:
        """Angles (M,) between points and rays of a camera, and their deviations for 1 px of noise."""
        found = point >= 0
        angle, deviation = np.full(len(point), np.nan), np.zeros(len(point))
        if not found.any():
            return angle, deviation
        offset = self._points[point[found]] - pose.translation
        distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-12)
        towards = offset / distance[:, None]
        seen = np.concatenate([rays[found], np.ones((int(found.sum()), 1))], axis=1) @ pose.rotation.T
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        angle[found] = np.arctan2(
            np.linalg.norm(np.cross(towards, seen), axis=1), (towards * seen).sum(axis=1)
        )
        covariance = self._covariances[point[found]]
        along = np.einsum("ni,nij,nj->n", towards, covariance, towards)
        across = np.maximum(np.trace(covariance, axis1=1, axis2=2) - along, 0.0)
        deviation[found] = np.sqrt(across) / distance
        return angle, deviation
