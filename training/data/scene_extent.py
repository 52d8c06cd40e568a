"""How far a scene reaches: bounds and mean of what is known of it, and where it was seen from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.cell_labels import seen_points
from relpose_training.data.scene_coordinate_augmentation import View

Array = NDArray[np.float64]

POINTS = 500
"""Taken of every image."""
STRAY = 0.1
"""Percent of the points, at either end of each axis, that bounds leave out: depth has strays."""
MARGIN = 10.0
"""How far a scene of which nothing is known may reach beyond the cameras, in units of the poses."""


class Extent:
    """Learns from views (`add`) whose poses and points are less the origin of their set."""

    def __init__(self, poses: Sequence[Rigid]) -> None:
        self.poses = list(poses)
        self._points: list[Array] = []
        self._seen = 0

    def add(self, view: View) -> None:
        """Take at most `POINTS` of what is known of a view."""
        points = _known_points(view)
        self._seen += len(points) > 0
        self._points.append(points[:: max(1, len(points) // POINTS)])

    @property
    def known(self) -> bool:
        """Whether anything is known of the scene but its cameras."""
        return self._seen > 0

    def bounds(self) -> list[list[float]]:
        """Low and high corner."""
        if self.known:
            ends = np.percentile(np.concatenate(self._points), [STRAY, 100 - STRAY], axis=0)
        else:
            centres = self._centres()
            ends = np.array([centres.min(axis=0) - MARGIN, centres.max(axis=0) + MARGIN])
        return [[float(x) for x in end] for end in ends]

    def mean(self) -> list[float]:
        """Of the known points; of the cameras where nothing is known."""
        points = np.concatenate(self._points) if self.known else self._centres()
        return [float(x) for x in points.mean(axis=0)]

    def views(self, most: int) -> list[list[float]]:
        """Centre and forward axis of at most so many cameras, evenly."""
        last = len(self.poses) - 1
        chosen = np.unique(np.linspace(0, last, min(most, last + 1)).round().astype(int)).tolist()
        facing = ((*self.poses[k].translation, *self.poses[k].rotation[:, 2]) for k in chosen)
        return [[round(float(x), 6) for x in view] for view in facing]

    def _centres(self) -> Array:
        return np.stack([pose.translation for pose in self.poses])


def _known_points(view: View) -> Array:
    """Points (M, 3) of the map that a view knows."""
    if view.depth is None:
        return np.zeros((0, 3)) if view.landmarks is None else view.landmarks
    height, width = view.depth.shape
    measured = view.camera.resized(width, height)
    x, y = np.meshgrid(*(np.linspace(0, size - 1, min(size, 24)).round() for size in (width, height)))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    rays = np.concatenate([measured.rays(pixels), np.ones((len(pixels), 1))], axis=1)
    points = seen_points(view.depth, pixels, rays)
    return np.asarray(view.map_from_camera.apply(points[np.isfinite(points).all(axis=1)]))
