"""Places that look alike: the pose at each of them, and whether the image can tell them apart.

The map records which references are twins (maps/aliases.py). A pose found at one of them is believed only
if the image disproves the others: if enough of it lies where the twin's landmarks show something else.
Counting which place explains more features would not do: a place mapped from where the robot stands now
explains more of the image than its exact twin which was mapped from a step further on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Hypothesis

_FACING = 0.2
"""Cosine: landmarks seen more from the side than this are not expected to be found."""

_NEARBY = 24
"""References that are looked at to complete a place."""


@dataclass(frozen=True)
class RivalOptions:
    """`places`: twins looked at, at most, each with the landmarks of `references`. A rival counts that has
    `least` inliers, or half of those of the pose that it doubts. A feature is explained by a landmark
    within `near_px` whose descriptor is nearer than `alike`. It speaks against a place that has `shown`
    landmarks or more within
    `around_px` and explains, of the `group` features or more there that the other place explains, no more
    than `share`. `disproof`: features that must speak against a twin, and `odds` times as many as
    the other way.

    Chosen on 450 ordered pairs of exact twins in simulated corridors (docs/uncertainty.md): at most
    11 features spoke against a twin; where a poster of its own marks each door, half have
    20 or more.
    """

    places: int = 4
    references: int = 6
    least: int = 15
    near_px: float = 4.0
    alike: float = 0.8
    around_px: float = 20.0
    group: int = 3
    shown: int = 6
    share: float = 0.1
    disproof: int = 15
    odds: float = 2.0


class Candidate(NamedTuple):
    """A hypothesis and the references whose landmarks it came by."""

    hypothesis: Hypothesis
    neighbours: list[Neighbour]


def separate_places(map_: Map, neighbours: Sequence[Neighbour]) -> list[list[Neighbour]]:
    """Retrieved references, best first, by place: one group unless the map knows twins among them.

    A reference goes to the group that holds no twin of it and shares most landmarks with it; one that has no
    twin at all, if it shares none with any, to the first.
    """
    here = {n.index for n in neighbours}
    if not any(map_.twins_of.get(i, frozenset()) & here for i in here):
        return [list(neighbours)]
    groups: list[list[Neighbour]] = []
    for neighbour in neighbours:
        twins = map_.twins_of.get(neighbour.index, frozenset())
        shared = [
            0 if twins & {n.index for n in group} else _shared(map_, neighbour.index, group)
            for group in groups
        ]
        if shared and (max(shared) > 0 or not twins):
            groups[int(np.argmax(shared))].append(neighbour)
        else:
            groups.append([neighbour])
    return groups


def rivals_of(map_: Map, places: Sequence[list[Neighbour]]) -> list[list[Neighbour]]:
    """Of the places after the first those that hold twins of it, most twins first.

    The others show something else; were they looked at, there would be no time for what looks alike.
    """
    links = Counter(t for n in places[0] for t in map_.twins_of.get(n.index, ()))
    counts = np.array([sum(links[n.index] for n in place) for place in places[1:]], int)
    return [places[1 + i] for i in np.argsort(-counts, kind="stable") if counts[i]]


def twin_places(
    map_: Map, neighbours: Sequence[Neighbour], make: Callable[[int], Neighbour]
) -> list[list[Neighbour]]:
    """References elsewhere that are twins of `neighbours`, by place, those with most twins first."""
    here = {n.index for n in neighbours}
    links = Counter(t for i in here for t in map_.twins_of.get(i, ()) if t not in here)
    ranked = sorted(links, key=lambda t: (-links[t], t))
    groups = separate_places(map_, [make(i) for i in ranked]) if ranked else []
    weight = [sum(links[n.index] for n in group) for group in groups]
    return [groups[i] for i in np.argsort(-np.array(weight), kind="stable")]


def filled(
    map_: Map, place: Sequence[Neighbour], count: int, make: Callable[[int], Neighbour]
) -> list[Neighbour]:
    """A place's references, and up to `count` with those that share most landmarks and are no twins."""
    seen = np.unique(np.concatenate([map_.visible[n.index] for n in place]))
    own = {n.index for n in place}
    own = own.union(*(map_.twins_of.get(i, frozenset()) for i in own))
    distance, _ = place[0].map_from_camera.distance_to(map_.reference_poses)
    nearest = [i for i in np.argsort(distance, kind="stable")[: _NEARBY + len(own)].tolist() if i not in own]
    shared = np.array([np.isin(map_.visible[i], seen, assume_unique=True).sum() for i in nearest], int)
    order = np.argsort(-shared, kind="stable")[: max(count - len(place), 0)]
    return [*place, *(make(nearest[i]) for i in order.tolist() if shared[i] > 0)]


def judged(
    map_: Map, query: Query, candidates: Sequence[Candidate], options: RivalOptions
) -> list[Hypothesis]:
    """The hypotheses; each names the strongest rival elsewhere that the image does not disprove, if any.

    A rival that the query's hint excludes is none where the hint agrees with the hypothesis, which then says
    that it stands by the hint.
    """
    views = [_View.of(map_, query, c, options) for c in candidates]
    found = []
    for i, (mine, _) in enumerate(candidates):
        rivals = [
            other
            for j, (other, _) in enumerate(candidates)
            if _apart(mine.map_from_camera, other.map_from_camera, map_.depth)
            and other.evidence.inliers >= min(options.least, 0.5 * mine.evidence.inliers)
            and not _disproved(query, views[i], views[j], options)
        ]
        kept = [h for h in rivals if query.hint is None or not query.hint.decides(mine, h)]
        if kept:
            rival = _strongest(kept)
            count = max(rival.evidence.inliers, mine.evidence.rival_inliers)
            evidence = replace(mine.evidence, rival_inliers=count, rival_place=rival.references[0])
            mine = replace(mine, evidence=evidence)
        elif rivals:
            mine = replace(
                mine, evidence=replace(mine.evidence, hinted_away=_strongest(rivals).references[0])
            )
        found.append(mine)
    return found


def looked_at(places: Sequence[list[Neighbour]], hint: Hint | None, count: int) -> list[list[Neighbour]]:
    """The first `count` places, and with a hint as many of those that are nearest to it.

    A hint must neither decide between the places that happened to be looked at, nor hide a rival.
    """
    first = list(range(min(count, len(places))))
    if hint is None:
        return [places[i] for i in first]
    poses = [Rigid.stack([n.map_from_camera for n in place]) for place in places]
    nearest = np.argsort([hint.distance(each).min() for each in poses], kind="stable")[:count]
    return [places[i] for i in dict.fromkeys([*first, *nearest.tolist()])]


def doubted(map_: Map, hypothesis: Hypothesis, judged_before: Sequence[Hypothesis] = ()) -> Hypothesis:
    """A hypothesis of the relative road, with an objection where a reference of it has a twin.

    Without landmarks there is nothing to tell twins apart by. Nor is a place believed that has a rival
    among those `judged_before`, by landmarks; one that stands by a hint there does so here too.
    """
    for known in judged_before:
        near = not _apart(known.map_from_camera, hypothesis.map_from_camera, map_.depth)
        if near and known.evidence.rival_place:
            objection = (
                f"ambiguous: the place of {known.references[0]} looks like that of "
                f"{known.evidence.rival_place}, and landmarks do not tell which"
            )
            return replace(hypothesis, evidence=replace(hypothesis.evidence, objection=objection))
        if near and known.evidence.hinted_away:
            evidence = replace(hypothesis.evidence, hinted_away=known.evidence.hinted_away)
            hypothesis = replace(hypothesis, evidence=evidence)
    for name in hypothesis.references:
        twins = map_.twins_of.get(map_.index_of([name])[0])
        if twins:
            other = map_.reference_names[min(twins)]
            objection = (
                f"ambiguous: {name} looks like {other}, which is elsewhere, and no landmark tells which"
            )
            return replace(hypothesis, evidence=replace(hypothesis.evidence, objection=objection))
    return hypothesis


def _strongest(hypotheses: Sequence[Hypothesis]) -> Hypothesis:
    return max(hypotheses, key=lambda h: h.evidence.inliers)


def _shared(map_: Map, index: int, group: Sequence[Neighbour]) -> int:
    mine = map_.visible[index]
    return max(int(np.isin(mine, map_.visible[n.index], assume_unique=True).sum()) for n in group)


def _apart(first: Rigid, second: Rigid, depth: float) -> bool:
    distance, angle = first.distance_to(second)
    return bool(distance > 0.05 * max(depth, 1e-9) or angle > np.deg2rad(5))


class _View(NamedTuple):
    """What a place explains of an image: for each feature (N,) whether, and landmarks that lie round it."""

    explained: NDArray[np.bool_]
    shown: NDArray[np.intp]

    @classmethod
    def of(cls, map_: Map, query: Query, candidate: Candidate, options: RivalOptions) -> _View:
        landmarks = np.unique(np.concatenate([map_.visible[n.index] for n in candidate.neighbours]))
        points, pose = map_.landmarks.points[landmarks], candidate.hypothesis.map_from_camera
        local = (points - pose.translation) @ pose.rotation
        towards = pose.translation - points
        facing = (towards * map_.seen_from[landmarks]).sum(axis=1)
        seen = (local[:, 2] > 0) & (facing > _FACING * np.linalg.norm(towards, axis=1))
        landmarks, local = landmarks[seen], local[seen]
        count = len(query.features)
        if not len(landmarks):
            return cls(np.zeros(count, np.bool_), np.zeros(count, np.intp))
        focal = query.camera.focal
        tree = cKDTree(local[:, :2] / local[:, 2:] * focal)
        pixels = query.rays * focal
        shown = tree.query_ball_point(pixels, options.around_px, p=np.inf, return_length=True)
        close = cKDTree(pixels).sparse_distance_matrix(tree, options.near_px, p=np.inf, output_type="ndarray")
        ours, theirs = (
            query.features.descriptors[close["i"]],
            map_.landmarks.descriptors[landmarks[close["j"]]],
        )
        alike = (ours * theirs).sum(axis=1) > 1 - 0.5 * options.alike**2
        explained = np.zeros(count, np.bool_)
        explained[close["i"][alike]] = True
        return cls(explained, np.asarray(shown))


def _disproved(query: Query, mine: _View, other: _View, options: RivalOptions) -> bool:
    """Whether what the image shows speaks against the `other` place, and does not speak against mine."""
    against = _speaking_against(query, mine, other, options)
    enough = against >= options.disproof
    return enough and against >= options.odds * _speaking_against(query, other, mine, options)


def _speaking_against(query: Query, mine: _View, other: _View, options: RivalOptions) -> int:
    """Features that I explain, in parts of the image where the other place shows something else."""
    chosen = np.flatnonzero(mine.explained)
    if not len(chosen):
        return 0
    tree = cKDTree(query.rays[chosen] * query.camera.focal)
    groups = tree.query_ball_tree(tree, options.around_px, p=np.inf)
    count = np.array([len(g) for g in groups])
    also = np.array([int(other.explained[chosen[g]].sum()) for g in groups])
    against = (count >= options.group) & (also <= options.share * count)
    against &= (other.shown[chosen] >= options.shown) & ~other.explained[chosen]
    return int(against.sum())
