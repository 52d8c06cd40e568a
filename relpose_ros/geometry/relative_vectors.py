"""What a network says about an edge between two cameras, in six numbers, and the pose that follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


class RelativeVectors(Protocol):
    """A way to write the pose of one camera relative to another; `read_target` undoes `write`."""

    def write(self, map_from_source: Rigid, map_from_target: Rigid) -> Array:
        """Poses (...) and (...) -> (..., 6)."""

    def read_target(self, map_from_source: Rigid, relative: ArrayLike) -> Rigid:
        """Poses (...) of sources and relative vectors (..., 6) -> map_from_target (...)."""


@dataclass(frozen=True)
class InSourceFrame(RelativeVectors):
    """source_from_target: translation in the axes of the source camera, and the rotation vector.

    The right way, and the default: it does not change when the map is turned or moved.
    """

    def write(self, map_from_source: Rigid, map_from_target: Rigid) -> Array:
        source_from_target = map_from_source.inverse() @ map_from_target
        return np.concatenate([source_from_target.translation, source_from_target.rotation_vector], axis=-1)

    def read_target(self, map_from_source: Rigid, relative: ArrayLike) -> Rigid:
        vector = np.asarray(relative, float)
        return map_from_source @ Rigid.from_rotation_vector(vector[..., 3:], vector[..., :3])


@dataclass(frozen=True)
class VectorDifference(RelativeVectors):
    """Compat: the source's pose vector minus the target's, as published RelPoseGNN weights give it.

    The difference is in the axes of the map, so it changes when the map is turned; that of two
    logarithms is no rotation, and jumps where one of them passes half a turn.
    """

    vectors: PoseVectors = field(default_factory=PoseVectors)

    def write(self, map_from_source: Rigid, map_from_target: Rigid) -> Array:
        return self.vectors.write(map_from_source) - self.vectors.write(map_from_target)

    def read_target(self, map_from_source: Rigid, relative: ArrayLike) -> Rigid:
        return self.vectors.read(self.vectors.write(map_from_source) - np.asarray(relative, float))
