"""The cells of a coordinate map as a pose solver sees them, and how far their errors go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.scene_targets import RayTargets

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_REACH = 16
"""Cells: correlation is looked for up to this distance."""

_UNCORRELATED = 0.05
"""A mean correlation below this counts as none."""


@dataclass(frozen=True, eq=False)
class SceneCells:
    """N cells that can be used: all finite.

    `points` (N, 3) map frame, m; `covariances` (N, 3, 3) m^2, map axes, or None; `rays` (N, 2) on z = 1;
    `grid` (N, 2) column and row of each cell; `focal`: px per unit of a ray.
    """

    points: Array
    covariances: Array | None
    rays: Array
    grid: Indices
    focal: float

    @classmethod
    def of_map(
        cls, points: Array, covariances: Array | None, rays: Array, focal: float, shape: tuple[int, int]
    ) -> tuple[SceneCells, Indices]:
        """Of a map `shape` (h, w), row by row; cells without a finite value are left out.

        With the index (N,) of each cell in the map.
        """
        known = np.isfinite(points).all(axis=1) & np.isfinite(rays).all(axis=1)
        if covariances is not None:
            known &= np.isfinite(covariances).all(axis=(1, 2))
        index = np.flatnonzero(known)
        grid = np.stack([index % shape[1], index // shape[1]], axis=1)
        kept = None if covariances is None else covariances[index]
        return cls(points[index], kept, rays[index], grid, focal), index

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: Any) -> SceneCells:
        kept = None if self.covariances is None else self.covariances[index]
        return SceneCells(self.points[index], kept, self.rays[index], self.grid[index], self.focal)

    @property
    def targets(self) -> RayTargets:
        """What the points are compared with."""
        return RayTargets(self.rays, self.focal)


def cells_per_error(residual: Array, grid: Indices) -> float:
    """How many neighbouring cells have one and the same error: 1 where all are independent.

    The correlation of residuals (N, D) between cells `grid` (N, 2), summed over all pairs up to the distance
    where its mean has fallen to nothing, per cell: what the variance of a mean over these cells is larger by
    than if they were independent.
    """
    if not len(residual):
        return 1.0
    at = grid - grid.min(axis=0)
    width, height = at.max(axis=0) + 1
    values = np.zeros((residual.shape[1] + 1, height, width))
    values[:-1, at[:, 1], at[:, 0]] = residual.T
    values[-1, at[:, 1], at[:, 0]] = 1.0
    size = (int(height) + _REACH, int(width) + _REACH)
    power = np.fft.irfft2(np.abs(np.fft.rfft2(values, size)) ** 2, size)
    lags = np.arange(-_REACH, _REACH + 1)
    power = power[:, lags % size[0]][:, :, lags % size[1]]
    together, pairs = power[:-1].sum(axis=0), power[-1]
    variance = together[_REACH, _REACH] / len(residual)
    if not variance > 0:
        return 1.0
    distance = np.rint(np.hypot(lags[:, None], lags[None, :])).astype(int).ravel()
    products = np.bincount(distance, together.ravel()) / variance
    counts = np.bincount(distance, pairs.ravel())
    faded = products[1 : _REACH + 1] < _UNCORRELATED * np.maximum(counts[1 : _REACH + 1], 0.5)
    until = int(np.argmax(faded)) if faded.any() else _REACH
    return float(max(products[: until + 1].sum() / len(residual), 1.0))
