"""Which references see the same landmarks: what holds a map together, and who stands alone in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import MIN_PAIR_MATCHES

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Covisibility:
    """`sightings` (R, L) sparse: 1 where a reference sees a landmark."""

    sightings: sparse.csr_array

    @classmethod
    def of(cls, map_: Map) -> Covisibility:
        """From every reference's list of landmarks."""
        visible = list(map_.visible)
        starts = np.cumsum([0, *(len(v) for v in visible)])
        columns = np.concatenate(visible) if visible else np.zeros(0, np.int32)
        ones = np.ones(len(columns), np.int64)
        return cls(sparse.csr_array((ones, columns, starts), shape=(len(map_), len(map_.landmarks))))

    @cached_property
    def landmarks(self) -> Counts:
        """How many landmarks each reference sees (R,)."""
        return np.asarray(np.diff(self.sightings.indptr), np.int64)

    @cached_property
    def seers(self) -> Counts:
        """How many references see each landmark (L,)."""
        return np.bincount(self.sightings.indices, minlength=self.sightings.shape[1]).astype(np.int64)

    @cached_property
    def shared(self) -> sparse.csr_array:
        """How many landmarks two references both see (R, R); the diagonal is zero."""
        both = sparse.csr_array(self.sightings @ self.sightings.T)
        both.setdiag(0)
        both.eliminate_zeros()
        return both

    def partners(self, least: int = MIN_PAIR_MATCHES) -> Counts:
        """With how many others each reference (R,) shares `least` landmarks."""
        enough = self.shared.data >= least
        owner = np.repeat(np.arange(self.shared.shape[0]), np.diff(self.shared.indptr))
        return np.bincount(owner[enough], minlength=self.shared.shape[0]).astype(np.int64)

    def islands(self, least: int = MIN_PAIR_MATCHES) -> list[NDArray[np.intp]]:
        """References that hang together by `least` shared landmarks from one to the next, largest first."""
        linked = self.shared
        linked = sparse.csr_array((linked.data >= least, linked.indices, linked.indptr), shape=linked.shape)
        linked.eliminate_zeros()
        count, label = connected_components(linked, directed=False)
        groups = [np.flatnonzero(label == i) for i in range(count)]
        return sorted(groups, key=lambda group: (-len(group), int(group[0])))
