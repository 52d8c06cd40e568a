"""Which references a map can do without: what they show, others show too, or they show nothing of use."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.covisibility import Covisibility
from relpose_ros.maps.landmarks import MIN_PAIR_MATCHES

Index = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PruneOptions:
    """What a map may lose.

    `max_loss`: share (0..1) of the landmarks that any reference sees which may disappear;
    `view_change`: each redundant reference that goes has one of its condition that stays within this, in
    radians of parallax (distance over the map's depth) and turn of the optical axis, root of the sum of
    squares; `min_landmarks`: a reference that sees fewer is of no use, and goes whatever `max_loss` and
    `view_change` say. Raises ConfigurationError for what cannot be.
    """

    max_loss: float = 0.1
    view_change: float = 0.25
    min_landmarks: int = MIN_PAIR_MATCHES

    def __post_init__(self) -> None:
        if not 0 <= self.max_loss <= 1:
            raise ConfigurationError(f"max_loss: expected a share from 0 to 1, got {self.max_loss:g}")
        if not self.view_change >= 0:
            raise ConfigurationError(f"view_change: expected radians, 0 or more, got {self.view_change:g}")
        if self.min_landmarks < 0:
            raise ConfigurationError(f"min_landmarks: expected 0 or more, got {self.min_landmarks}")


@dataclass(frozen=True)
class Spare:
    """References that may go: `useless` see too little; `redundant`: others show what they show."""

    useless: Index
    redundant: Index

    @property
    def all(self) -> Index:
        """Both, in order."""
        return np.sort(np.concatenate([self.useless, self.redundant]))


def spare_references(map_: Map, options: PruneOptions | None = None) -> Spare:
    """Choose greedily: always the reference whose going would cost its own view least, then ask all others.

    Where that is the same, the one with the nearest other view. A landmark stays while two references that
    stay see it. Of two places that look alike some twins stay: each recorded pair goes only while another
    one, of near views, stays. Two references stay at least. The answer depends on the map alone.
    """
    options = options or PruneOptions()
    thinner = _Thinner(map_, options)
    useless = thinner.drop_useless()
    return Spare(useless, thinner.thin())


class _Thinner:
    """What stays, while references go one by one."""

    def __init__(self, map_: Map, options: PruneOptions) -> None:
        seen = Covisibility.of(map_)
        self._map = map_
        self.total, self._sightings, self._left = seen.landmarks, seen.sightings, seen.seers.copy()
        self._kept = np.ones(len(map_), np.bool_)
        self._lost = np.zeros(len(map_), np.int64)
        self._bound = np.floor(options.max_loss * self.total).astype(np.int64)
        self._near = near_views(map_, options.view_change)
        self._covered = np.array([len(near) for near in self._near])
        self._least = options.min_landmarks

    def _visible(self, index: int) -> NDArray[np.int32]:
        start, end = self._sightings.indptr[index : index + 2]
        return np.asarray(self._sightings.indices[start:end])

    def _dying(self, index: int) -> NDArray[np.int32]:
        """Landmarks that only one reference would be left to see."""
        seen = self._visible(index)
        return np.asarray(seen[self._left[seen] == 2])

    def remove(self, index: int) -> None:
        """Let a reference go."""
        self._lost += self._losses(index)
        self._left[self._visible(index)] -= 1
        self._kept[index] = False
        self._covered[self._near[index]] -= 1

    def _losses(self, index: int) -> NDArray[np.int64]:
        """How many landmarks each reference's view (R,) would lose."""
        dying = np.zeros(len(self._left), np.int64)
        dying[self._dying(index)] = 1
        return np.asarray(self._sightings @ dying, np.int64)

    def _change(self, index: int) -> float:
        """To the nearest view that may stand for this one."""
        return float(view_changes(self._map, index, self._near[index]).min(initial=np.inf))

    def _share(self, index: int) -> float:
        return float((self._lost[index] + len(self._dying(index))) / max(int(self.total[index]), 1))

    def drop_useless(self) -> Index:
        """Remove those that see too little, whatever they take along but twins."""
        gone = []
        for index in np.flatnonzero(self.total < self._least).tolist():
            if self._kept.sum() > 2 and self._twins_stay(index):
                self.remove(index)
                gone.append(index)
        return np.array(gone, np.intp)

    def _twins_stay(self, index: int) -> bool:
        """Whether each recorded pair of look-alikes that needs this reference has another to stand for it."""
        around = {index, *self._near[index].tolist()}
        pairs = {(i, j) for i in around for j in self._map.twins_of.get(i, frozenset())}
        return all(self._stood_for(i, j, without=index) for i, j in pairs)

    def _stood_for(self, first: int, second: int, without: int) -> bool:
        """Whether a recorded pair of this one's or near views stays."""
        stays = self._kept.copy()
        stays[without] = False
        seconds = {j for j in (second, *self._near[second].tolist()) if stays[j]}
        firsts = (i for i in (first, *self._near[first].tolist()) if stays[i])
        return any(self._map.twins_of.get(i, frozenset()) & seconds for i in firsts)

    def _may_go(self, index: int) -> bool:
        """Whether every view keeps its landmarks, each that went or goes has one that stays near it, and so
        has each pair of twins."""
        if self._kept.sum() <= 2 or self._covered[index] < 1 or not self._twins_stay(index):
            return False
        gone = [i for i in self._near[index].tolist() if not self._kept[i] and self.total[i] >= self._least]
        if any(self._covered[i] < 2 for i in gone):
            return False
        losses = self._losses(index)
        asked = (losses > 0) & (self.total >= self._least)
        return bool((self._lost + losses <= self._bound)[asked].all())

    def thin(self) -> Index:
        """Remove what may go. A refusal is final: what is left to see only becomes less."""
        queue = [(self._share(i), self._change(i), i) for i in np.flatnonzero(self._kept).tolist()]
        heapq.heapify(queue)
        gone: list[int] = []
        while queue:
            share, change, index = heapq.heappop(queue)
            present = self._share(index)
            if present > share:
                heapq.heappush(queue, (present, change, index))
            elif self._may_go(index):
                self.remove(index)
                gone.append(index)
        return np.array(sorted(gone), np.intp)


def near_views(map_: Map, limit: float) -> list[Index]:
    """For each reference the others of its condition whose view differs by `limit` radians at most."""
    from scipy.spatial import cKDTree

    centres = map_.reference_poses.translation
    around = cKDTree(centres).query_ball_point(centres, limit * max(map_.depth, 1e-9))
    near = []
    for index, found in enumerate(around):
        others = [i for i in found if i != index and map_.conditions[i] == map_.conditions[index]]
        chosen = np.array(sorted(others), np.intp)
        near.append(chosen[view_changes(map_, index, chosen) <= limit])
    return near


def view_changes(map_: Map, index: int, others: Index) -> NDArray[np.float64]:
    """From one reference's view to those of others (N,): parallax and turn, root of the sum of squares."""
    centres, forward = map_.reference_poses.translation, map_.reference_poses.rotation[:, :, 2]
    parallax = np.linalg.norm(centres[others] - centres[index], axis=1) / max(map_.depth, 1e-9)
    turn = np.arccos(np.clip(forward[others] @ forward[index], -1, 1))
    return np.asarray(np.hypot(parallax, turn))
