"""The map: references with their features, landmarks with their uncertainty, one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.base import Features
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.triangulation import Observations
from relpose_ros.maps.graph_rows import GraphFeatures
from relpose_ros.retrieval.describer import DescriberIdentity, vlad_identity
from relpose_ros.retrieval.index import DescriptorIndex
from relpose_ros.retrieval.vlad import Vlad

Array = NDArray[np.float64]

UNNAMED = "(unnamed)"
"""How the condition of references that were given none is listed."""


@dataclass(frozen=True)
class ReferenceFeatures:
    """What a map keeps of one reference.

    `keypoints` (N, 2) pixels; `landmarks` (N,) index of the landmark seen there, or -1;
    `descriptors` (N, D) float32: the landmark's, or the keypoint's own where there is none.
    """

    keypoints: NDArray[np.float32]
    landmarks: NDArray[np.int32]
    descriptors: NDArray[np.float32]


@dataclass(frozen=True)
class Landmarks:
    """L triangulated points: `points` (L, 3) m, `covariances` (L, 3, 3) for 1 px of noise,
    `descriptors` (L, D) float32."""

    points: Array
    covariances: Array
    descriptors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Map:
    """A prior map. Made by `build_map`, opened by `Map.open`; never changed in place.

    `reference_names` and everything per reference have the same order; `reference_poses` is a
    batched `map_from_camera`. `global_descriptors` (R, G) were made by `vlad` or, where that is None,
    by `describer`, whose weights are not in the map. Of a large map that was opened, `features`, landmarks
    and global descriptors lie in its file: rows are read, and checked, when they are indexed (MapError if
    they are damaged). `metric` is False where the source's unit is not the
    metre. `calibration` is read by the localizer. `twins` (P, 2): pairs
    of references that look alike and show different places (maps/aliases.py). `graph`: the references as a
    network that regresses relative poses sees them, where one was attached.
    """

    name: str
    metric: bool
    feature: str
    reference_names: tuple[str, ...]
    conditions: tuple[str, ...]
    cameras: tuple[Camera, ...]
    reference_poses: Rigid
    features: Sequence[ReferenceFeatures]
    landmarks: Landmarks
    vlad: Vlad | None
    global_descriptors: NDArray[np.float32]
    calibration: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    describer: DescriberIdentity | None = None
    twins: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    graph: GraphFeatures | None = None

    @classmethod
    def open(cls, path: str | Path) -> Map:
        """Read a map bundle. Raises MapError if it is missing, broken, foreign or newer."""
        from relpose_ros.maps.storage import read_map

        return read_map(Path(path))

    def save(self, path: str | Path) -> Map:
        """Write to `path` (a temporary file, then renamed) and return the map with that path."""
        from relpose_ros.maps.storage import write_map

        write_map(self, Path(path))
        return replace(self, path=Path(path))

    def __len__(self) -> int:
        return len(self.reference_names)

    @property
    def described_by(self) -> DescriberIdentity:
        """Who made the global descriptors. Raises ValueError where that cannot be told."""
        if self.vlad is not None and self.describer is None:
            return vlad_identity(self.vlad)
        if self.describer is None or self.vlad is not None:
            raise ValueError("a map has either a VLAD or the name of what made its global descriptors")
        return self.describer

    @property
    def landmark_points(self) -> Array:
        """(L, 3) float64, metres."""
        return self.landmarks.points

    @cached_property
    def visible(self) -> Sequence[NDArray[np.int32]]:
        """For each reference, the landmarks it sees."""
        return [f.landmarks[f.landmarks >= 0] for f in self.features]

    @cached_property
    def twins_of(self) -> dict[int, frozenset[int]]:
        """For each reference that has any, those elsewhere that look like it."""
        found: dict[int, set[int]] = {}
        for i, j in self.twins.tolist():
            found.setdefault(i, set()).add(j)
            found.setdefault(j, set()).add(i)
        return {i: frozenset(twins) for i, twins in found.items()}

    @cached_property
    def observations(self) -> Observations:
        """Every sighting of a landmark, reference by reference; `track` is the landmark."""
        rays, tracks, owner = [], [], []
        for index, (seen, camera) in enumerate(zip(self.features, self.cameras, strict=True)):
            chosen = seen.landmarks >= 0
            rays.append(camera.rays(seen.keypoints[chosen]))
            tracks.append(seen.landmarks[chosen])
            owner.append(np.full(chosen.sum(), index))
        seer = np.concatenate(owner)
        focal = np.array([c.focal for c in self.cameras])
        return Observations(
            np.concatenate(tracks), np.concatenate(rays), self.reference_poses[seer], focal[seer]
        )

    @cached_property
    def seen_from(self) -> Array:
        """Mean direction (L, 3) from each landmark to the references that see it, of length <= 1."""
        seen = self.observations
        offset = seen.map_from_camera.translation - self.landmarks.points[seen.track]
        offset /= np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-12)
        columns = [np.bincount(seen.track, column, len(self.landmarks)) for column in offset.T]
        count = np.maximum(np.bincount(seen.track, minlength=len(self.landmarks)), 1)
        return np.stack(columns, axis=1) / count[:, None]

    @cached_property
    def sightings(self) -> int:
        """How many keypoints see a landmark."""
        return int(sum(len(v) for v in self.visible))

    @cached_property
    def retrieval_index(self) -> DescriptorIndex:
        """The nearest of `global_descriptors`; of a large map it is stored in the file."""
        return DescriptorIndex(self.global_descriptors)

    @cached_property
    def reference_distance(self) -> float:
        """Typical distance between a reference and its nearest other one, in map units."""
        from scipy.spatial import cKDTree

        if len(self) < 2:
            return 0.0
        centres = self.reference_poses.translation
        nearest, _ = cKDTree(centres).query(centres, k=2)
        return float(np.median(nearest[:, 1]))

    @cached_property
    def depth(self) -> float:
        """Median distance from a reference to what it sees, in map units."""
        seen = self.observations
        if not len(seen):
            return 0.0
        offset = self.landmarks.points[seen.track] - seen.map_from_camera.translation
        return float(np.median(np.linalg.norm(offset, axis=1)))

    def reference_features(self, index: int) -> Features:
        """The stored features of one reference (scales are not stored: zeros)."""
        stored = self.features[index]
        zeros = np.zeros(len(stored.keypoints), np.float32)
        return Features(stored.keypoints, zeros, stored.descriptors)

    def index_of(self, names: Sequence[str]) -> list[int]:
        """Positions of references by name. Raises MapError naming the ones it lacks."""
        from relpose_ros.errors import MapError

        position = {name: i for i, name in enumerate(self.reference_names)}
        missing = [name for name in names if name not in position]
        if missing:
            raise MapError(
                f"map {self.name!r} has no reference {', '.join(map(repr, missing[:5]))}"
                f"{' ...' if len(missing) > 5 else ''}; `relpose map info --references` lists them"
            )
        return [position[name] for name in names]

    def info(self) -> dict[str, Any]:
        """What `relpose map info` prints: plain types only."""
        size = self.path.stat().st_size if self.path and self.path.exists() else 0
        return {
            "schema_version": self.provenance.get("schema_version"),
            "name": self.name,
            "path": str(self.path) if self.path else None,
            "created": self.provenance.get("created"),
            "metric": self.metric,
            "references": len(self),
            "landmarks": len(self.landmarks),
            "observations": self.sightings,
            "bytes": size,
            "bytes_per_reference": round(size / max(1, len(self))),
            "build_seconds": self.provenance.get("build_seconds"),
            "feature": self.feature,
            "descriptor": self.described_by.name,
            "describer": self.described_by.to_dict(),
            "relpose_gnn": None if self.graph is None else self.graph.info(),
            "conditions": sorted(set(self.conditions)),
            "condition_counts": {
                c or UNNAMED: self.conditions.count(c) for c in sorted(set(self.conditions))
            },
            "depth": self.depth,
            "reference_distance": self.reference_distance,
            "calibration": self.calibration,
            "provenance": self.provenance,
        }
