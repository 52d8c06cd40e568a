"""How far predicted scene coordinates are off, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.covariance import axis_deviation
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Unit = Literal["m", "px"]

MIN_CELLS = 10
"""Fewer cells than this have no rank correlation worth the name."""

MIN_KNOWN = 0.5
"""Where coordinates are known of fewer cells they are single landmarks, which lie anywhere in their cells."""

_LEAST_VARIANCE = 1e-12
"""Square metres: a covariance that is singular stays usable."""


class Cells(Protocol):
    """What a network said of N = h * w cells: `checkpoints.scene.CoordinateMap` is one."""

    @property
    def points(self) -> Array:
        """Map coordinates (N, 3), m."""

    @property
    def covariances(self) -> Array | None:
        """Of the points (N, 3, 3), m^2, map axes; None where the network says none."""

    @property
    def rays(self) -> Array:
        """On z = 1 (N, 2)."""

    @property
    def pixels(self) -> Array:
        """In the query image (N, 2)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns (h, w)."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which have a coordinate and a ray (N,)."""


@dataclass(frozen=True, eq=False)
class CellErrors:
    """What is off in the N cells of one image.

    `error` (N,): distance to the known coordinate in m or, where none is known, reprojection error at the
    true pose in px of the image; NaN where nothing is known, infinite behind the camera. `deviation` (N,):
    predicted standard deviation along an axis, m, NaN where unknown. `nees` (N,): squared error in units of
    the covariance, of errors in m. All are row by row of `shape` (h, w); `extent`: left, right, bottom, top
    of the cells in the image, px.
    """

    name: str
    shape: tuple[int, int]
    extent: tuple[float, float, float, float]
    unit: Unit
    points: Array
    error: Array
    deviation: Array
    nees: Array

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Cells (N,) with an error and a predicted deviation."""
        return ~np.isnan(self.error) & np.isfinite(self.deviation)


def cell_errors(image: PosedImage, cells: Cells) -> CellErrors:
    """Errors of the `cells` predicted for `image`. Raises DatasetError if it has no pose."""
    pose = image.map_from_camera
    if pose is None:
        raise DatasetError(f"{image.name}: expected an image with a pose, got one without")
    known = known_points(image, pose, cells)
    error = _reprojection_errors(image, pose, cells) if known is None else _distances(cells.points, known)
    usable, covariances = cells.usable, cells.covariances
    deviation = nees = np.full(len(usable), np.nan)
    if covariances is not None:
        deviation = np.where(usable, axis_deviation(covariances), np.nan)
        nees = nees if known is None else _nees(cells.points - known, covariances, usable)
    return CellErrors(
        image.name,
        cells.shape,
        _extent(cells),
        "px" if known is None else "m",
        np.where(usable[:, None], cells.points, np.nan),
        np.where(usable, error, np.nan),
        deviation,
        nees,
    )


def known_points(image: PosedImage, pose: Rigid, cells: Cells) -> Array | None:
    """Map coordinates (N, 3) that the data set knows at the cells' pixels, NaN where it does not.

    From its coordinates where they are dense, else from its depth; None where it has neither.
    """
    if image.load_coordinates is not None:
        known = _at(image.load_coordinates(), cells.pixels, image)
        if np.isfinite(known).all(axis=1).mean() >= MIN_KNOWN:
            return known
    if image.load_depth is None:
        return None
    depth = _at(image.load_depth()[..., None], cells.pixels, image)
    rays = np.concatenate([cells.rays, np.ones((len(depth), 1))], axis=1)
    return np.where(depth > 0, pose.apply(rays * depth), np.nan)


def rank_correlation(errors: list[CellErrors]) -> float | None:
    """Spearman's between predicted deviation and error over the cells of all; errors of one unit.

    None where the network predicts no deviation, always the same, or too few cells are known.
    """
    compared = [e.compared for e in errors]
    deviation = np.concatenate([e.deviation[m] for e, m in zip(errors, compared, strict=True)])
    error = np.concatenate([e.error[m] for e, m in zip(errors, compared, strict=True)])
    if len(error) < MIN_CELLS or np.ptp(deviation) == 0 or not error.min() < error.max():
        return None
    return float(stats.spearmanr(deviation, error).statistic)


def _at(values: NDArray[np.floating], pixels: Array, image: PosedImage) -> Array:
    """Values (N, K) of an array (h, w, K), of any size but the image's field of view, nearest to pixels."""
    size = np.array(values.shape[1::-1])
    scale = size / [image.camera.width, image.camera.height]
    at = np.floor((np.nan_to_num(pixels, nan=-10.0) + 0.5) * scale).astype(np.int64)
    inside = np.asarray(((at >= 0) & (at < size)).all(axis=1))
    found = np.asarray(values[at[:, 1] * inside, at[:, 0] * inside], float)
    return np.where(inside[:, None], found, np.nan)


def _extent(cells: Cells) -> tuple[float, float, float, float]:
    """Half a cell beyond the outermost cells' pixels."""
    low, high = cells.pixels.min(axis=0), cells.pixels.max(axis=0)
    half = (high - low) / np.maximum(np.array(cells.shape[::-1]) - 1, 1) / 2
    (left, top), (right, bottom) = (low - half).tolist(), (high + half).tolist()
    return left, right, bottom, top


def _distances(points: Array, known: Array) -> Array:
    return np.asarray(np.linalg.norm(points - known, axis=1))


def _reprojection_errors(image: PosedImage, pose: Rigid, cells: Cells) -> Array:
    """Pixels (N,) from each cell to where its point is seen from the true pose; infinite if it is not."""
    seen = image.camera.project(pose.inverse().apply(cells.points))
    away = np.linalg.norm(seen - cells.pixels, axis=1)
    return np.where(np.isfinite(away), away, np.inf)


def _nees(error: Array, covariances: Array, usable: NDArray[np.bool_]) -> Array:
    """Squared errors (N,) in units of their covariances; NaN where one of both is unknown."""
    known = usable & np.isfinite(error).all(axis=1)
    out = np.full(len(error), np.nan)
    sure = covariances[known] + _LEAST_VARIANCE * np.eye(3)
    whitened = np.linalg.solve(sure, error[known, :, None])[..., 0]
    out[known] = np.einsum("ni,ni->n", error[known], whitened)
    return out
