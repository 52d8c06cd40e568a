"""Pairwise matches -> tracks: which keypoints of which references are the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class PairMatches(NamedTuple):
    """Verified matches of two references: `pairs` (M, 2) keypoint indices, `distances` (M,)."""

    first: int
    second: int
    pairs: NDArray[np.integer]
    distances: NDArray[np.floating]


def build_tracks(matches: Sequence[PairMatches], keypoint_counts: Sequence[int]) -> list[NDArray[np.int64]]:
    """Track index of every keypoint, one array (N_i,) per reference, -1 where in none.

    Matches are joined best first; one that would put two keypoints of the same reference
    into a track is left out, so a wrong match cannot weld two things together.
    """
    offset = np.concatenate([[0], np.cumsum(keypoint_counts)])
    reference = np.repeat(np.arange(len(keypoint_counts)), keypoint_counts).tolist()
    parent = list(range(int(offset[-1])))
    members: dict[int, set[int]] = {}
    if matches:
        left = np.concatenate([m.pairs[:, 0] + offset[m.first] for m in matches])
        right = np.concatenate([m.pairs[:, 1] + offset[m.second] for m in matches])
        order = np.argsort(np.concatenate([m.distances for m in matches]), kind="stable")
        for a, b in zip(left[order].tolist(), right[order].tolist(), strict=True):
            _join(_root(parent, a), _root(parent, b), parent, members, reference)
    return _number(parent, offset)


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _join(a: int, b: int, parent: list[int], members: dict[int, set[int]], reference: list[int]) -> None:
    if a == b:
        return
    ours = members.get(a) or {reference[a]}
    theirs = members.get(b) or {reference[b]}
    if not ours.isdisjoint(theirs):
        return
    if len(ours) < len(theirs):
        a, b, ours, theirs = b, a, theirs, ours
    parent[b] = a
    ours |= theirs
    members[a] = ours
    members.pop(b, None)


def _number(parent: list[int], offset: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    roots = np.array([_root(parent, i) for i in range(len(parent))], np.int64)
    unique, inverse, count = np.unique(roots, return_inverse=True, return_counts=True)
    number = np.where(count >= 2, np.cumsum(count >= 2) - 1, -1)
    track = number[inverse] if len(unique) else roots
    return [track[a:b] for a, b in pairwise(offset)]
