"""What the stages are timed on: a map, query frames, and what one of them is on its way through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources import fresh_map, limited, simulated
from relpose_ros.datasets.open import open_source
from relpose_ros.features.base import Features
from relpose_ros.features.matching import NearestNeighbours, nearest_neighbours
from relpose_ros.geometry.refinement import Correspondences
from relpose_ros.geometry.robust import RansacOptions, RobustPose, absolute_pose
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.query import Query
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Frame

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Workload:
    """A map opened from disk and frames to localize in it. `frame` is the one looked at closely."""

    name: str
    map: Map
    frames: tuple[Frame, ...]

    def describe(self) -> str:
        """In words."""
        camera = self.frame.camera
        return (
            f"{self.name}: {len(self.map)} references, {len(self.map.landmarks)} landmarks; "
            f"a {camera.width}x{camera.height} query with {len(self.features)} features, "
            f"{len(self.candidates)} candidate landmarks, {len(self.seen)} tentative matches, "
            f"{int(self.solved.inliers.sum())} inliers"
        )

    @cached_property
    def localizer(self) -> Localizer:
        """With the default profile."""
        return Localizer(self.map)

    @cached_property
    def frame(self) -> Frame:
        """The frame with the median number of inliers: neither the best nor a hopeless one."""
        found = [self.localizer.localize(frame).inliers for frame in self.frames]
        return self.frames[int(np.argsort(found, kind="stable")[len(found) // 2])]

    @cached_property
    def features(self) -> Features:
        """Of `frame`."""
        return self.localizer.extract(self.frame)

    @cached_property
    def candidates(self) -> NDArray[np.intp]:
        """Landmarks that the retrieved references see. Raises SystemExit if none is retrieved."""
        neighbours = self.localizer.retrieve(self.localizer.describe(self.features))
        if not neighbours:
            raise self._hopeless()
        return np.unique(np.concatenate([self.map.visible[n.index] for n in neighbours]))

    @cached_property
    def nearest(self) -> NearestNeighbours:
        """Every feature's nearest candidate."""
        return nearest_neighbours(self.features.descriptors, self.map.landmarks.descriptors[self.candidates])

    @cached_property
    def seen(self) -> Correspondences:
        """Tentative correspondences, after the ratio test."""
        structure = self.localizer.options.structure
        kept = np.flatnonzero(self.nearest.mutual & (self.nearest.ratio < structure.ratio))
        landmarks = self.candidates[self.nearest.index[kept]]
        known, query = self.map.landmarks, Query.of(self.features, self.frame.camera)
        return Correspondences(
            query.rays[kept], known.points[landmarks], known.covariances[landmarks], query.camera.focal
        )

    @cached_property
    def ransac(self) -> RansacOptions:
        """As the default profile solves."""
        return RansacOptions(self.localizer.options.structure.max_error_px)

    @cached_property
    def solved(self) -> RobustPose:
        """The robust solver's pose of `frame`. Raises SystemExit if there is none."""
        found = absolute_pose(self.seen.rays, self.seen.points, self.seen.focal, self.ransac)
        if found is None:
            raise self._hopeless()
        return found

    def _hopeless(self) -> SystemExit:
        return SystemExit(
            f"{self.name}: the middle query cannot be localized; take another --source, or more --references"
        )


def make_workload(source: Path | None, references: int, queries: int, folder: Path) -> Workload:
    """From a posed-image source, or simulated. The map is built in `folder`."""
    opened = simulated(references, queries) if source is None else open_source(source)
    chosen = limited(opened, references, queries)
    frames = tuple(image.frame() for image in chosen.queries)
    if not frames:
        raise SystemExit(f"{source}: expected query images, got none")
    return Workload(chosen.name, fresh_map(chosen, folder / f"{chosen.name}.relmap"), frames)
