"""What may be seen from round a hint: references of the map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.localization.hint import Hint
from relpose_ros.localization.query import Neighbour
from relpose_ros.maps.bundle import Map
from relpose_ros.retrieval.index import DescriptorIndex, Floats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Surroundings:
    """Which references of a map show what a hinted camera may see. `index`: of the map's references."""

    map: Map
    index: DescriptorIndex

    def most_alike(
        self, descriptor: Floats, camera: Camera, hint: Hint | None, count: int
    ) -> list[Neighbour]:
        """Of the references within the hint's reach those most like a `descriptor` (G,), at most `count`.

        The nearest to the hint comes first: of places that look alike it is asked. None without a hint, or to
        a descriptor of zeros.
        """
        if hint is None or not descriptor.any():
            return []
        reached = self.within(hint, camera)
        if not len(reached):
            return []
        found = self.index.search_among(descriptor, reached, count)
        chosen = [Neighbour.of(self.map, int(i), float(s)) for i, s in zip(*found, strict=True)]
        return sorted(chosen, key=lambda n: float(hint.distance(n.map_from_camera)[0]))

    def within(self, hint: Hint, camera: Camera) -> NDArray[np.int64]:
        """Indices of references that lie within the hint's reach and look the same way, in the map's order.

        Position: no further than `reach_sigma` deviations and the distance over which the reference sees.
        Direction: optical axes no further apart than as many deviations and half of both fields of view.
        """
        poses, sigma = self.map.reference_poses, hint.options.reach_sigma
        offset = poses.translation - hint.map_from_camera.translation
        distance = np.linalg.norm(offset, axis=1)
        towards = offset / np.maximum(distance, 1e-12)[:, None]
        deviation = np.sqrt(np.einsum("ri,ij,rj->r", towards, hint.covariance[:3, :3], towards))
        near = distance <= sigma * deviation + self._view_distance
        cosine = poses.rotation[:, :, 2] @ hint.map_from_camera.rotation[:, 2]
        turned = np.arccos(np.clip(cosine, -1.0, 1.0))
        unsure = np.sqrt(np.linalg.eigvalsh(hint.covariance[3:, 3:])[-1])
        alike = turned <= sigma * unsure + _half_view(camera) + self._half_views
        return np.flatnonzero(near & alike)

    @cached_property
    def _view_distance(self) -> Array:
        """Mean distance (R,) to the landmarks that a reference sees; the map's depth where it sees none."""
        seen, count = self.map.observations, len(self.map)
        offset = self.map.landmarks.points[seen.track] - seen.map_from_camera.translation
        seer = np.repeat(np.arange(count), [len(v) for v in self.map.visible])
        total = np.bincount(seer, np.linalg.norm(offset, axis=1), count)
        sightings = np.bincount(seer, minlength=count)
        return np.where(sightings > 0, total / np.maximum(sightings, 1), self.map.depth)

    @cached_property
    def _half_views(self) -> Array:
        return np.array([_half_view(camera) for camera in self.map.cameras])


@lru_cache(maxsize=1024)  # a broken driver's cameras must not fill the memory
def _half_view(camera: Camera) -> float:
    """Angle from the optical axis to the corner that is seen furthest from it, radians."""
    right, bottom = camera.width - 1.0, camera.height - 1.0
    corners = camera.bearings(np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]]))
    angle = np.arccos(np.clip(corners[:, 2], -1.0, 1.0))
    return float(np.nan_to_num(angle, nan=np.pi).max())
