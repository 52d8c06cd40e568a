"""What a drawing of a map is made from, and what can be read off it without a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.plots.view import widest_axes
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEW_LANDMARKS = 8
"""A reference that sees fewer landmarks than this does not help to localize."""

HEADINGS = 8
"""Sectors of 45 degrees in which a cell of the map may have been looked at from."""


@dataclass(frozen=True)
class MapScene:
    """References (R) and landmarks (L) of a map.

    `map_from_camera` is batched (R), `points` (L, 3), `landmarks` (R,): how many each reference sees;
    `partners` (R,): with how many others it shares enough of them to be tied to them; `conditions` (R,).
    `used`: reference -> how often an evaluation leaned on it; None where nobody measured.
    """

    names: Sequence[str]
    map_from_camera: Rigid
    points: Array
    landmarks: NDArray[np.int64]
    partners: NDArray[np.int64]
    conditions: Sequence[str]
    metric: bool = True
    used: Mapping[str, int] | None = None
    few: int = FEW_LANDMARKS

    @property
    def unit(self) -> str:
        """Unit of lengths as the axes say it."""
        return "m" if self.metric else "map units"

    @property
    def centres(self) -> Array:
        """Positions of the cameras (R, 3)."""
        return self.map_from_camera.translation.reshape(-1, 3)

    @property
    def forward(self) -> Array:
        """Viewing directions (R, 3), of length 1."""
        return self.map_from_camera.rotation.reshape(-1, 3, 3)[:, :, 2]

    @cached_property
    def axes(self) -> tuple[int, int, int]:
        """The map's axes by how far the references spread: the first two make the view from above."""
        top = widest_axes(self.centres)
        return top[0], top[1], 3 - sum(top)

    @property
    def poor(self) -> Mask:
        """References (R,) that see too few landmarks."""
        return np.asarray(self.landmarks < self.few)

    @property
    def lone(self) -> Mask:
        """References (R,) that see landmarks and share enough of them with no other."""
        return np.asarray(~self.poor & (self.partners == 0))

    @property
    def unused(self) -> Mask:
        """References (R,) that no answer of the evaluation leaned on; none where nobody measured."""
        if self.used is None:
            return np.zeros(len(self.names), np.bool_)
        return np.array([self.used.get(name, 0) == 0 for name in self.names], np.bool_)

    @cached_property
    def spacing(self) -> float:
        """Typical distance from a reference to the nearest other one."""
        from scipy.spatial import cKDTree

        if len(self.centres) < 2:
            return 1.0
        nearest = cKDTree(self.centres).query(self.centres, k=2)[0][:, 1]
        return float(np.median(nearest)) or float(nearest.max(initial=0.0)) or 1.0


def headings_covered(scene: MapScene, cells: int = 40) -> tuple[Array, Array, Array]:
    """Edges of a grid seen from above (x and y), and in how many of `HEADINGS` sectors references look there.

    A cell is as large as twice the references' spacing, or a `cells`-th of the map; counts (X, Y) are NaN
    where no reference stands. Views along the third axis have no heading and count for none.
    """
    flat, ahead = scene.centres[:, scene.axes[:2]], scene.forward[:, scene.axes[:2]]
    low, high = flat.min(axis=0), flat.max(axis=0)
    size = max(2 * scene.spacing, float((high - low).max()) / cells, 1e-9)
    count = np.maximum(np.ceil((high - low) / size), 1).astype(int)
    edges = [low[i] + size * np.arange(count[i] + 1) for i in range(2)]
    place = np.minimum(((flat - low) / size).astype(int), count - 1)
    sector = ((np.arctan2(ahead[:, 1], ahead[:, 0]) / (2 * np.pi) * HEADINGS).round() % HEADINGS).astype(int)
    level = np.linalg.norm(ahead, axis=1) > 0.3
    seen = np.zeros((*count, HEADINGS), np.bool_)
    seen[place[level, 0], place[level, 1], sector[level]] = True
    covered = seen.sum(axis=2).astype(float)
    stands = np.zeros(tuple(count), np.bool_)
    stands[place[:, 0], place[:, 1]] = True
    return edges[0], edges[1], np.where(stands, covered, np.nan)
