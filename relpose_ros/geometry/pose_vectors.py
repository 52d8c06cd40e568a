"""Poses as six numbers: translation (3), then the logarithm of the unit quaternion (3).

The logarithm is half of the rotation vector: half the angle times the axis (Brahmbhatt, Gu, Kim, Hays, Kautz:
Geometry-Aware Learning of Maps for Camera Localization, CVPR 2018, eq. 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


def quaternion_log(rotation_xyzw: ArrayLike) -> Array:
    """Unit quaternions (..., 4) x, y, z, w -> (..., 3): acos(w) along (x, y, z), 0 where that is 0.

    A quaternion with w < 0 gives a vector longer than pi / 2: choose the sign before if that matters.
    """
    q = np.asarray(rotation_xyzw, float)
    norm = np.linalg.norm(q[..., :3], axis=-1, keepdims=True)
    # atan2 is acos(w) for unit quaternions and keeps its digits where acos loses them, near w = 1.
    angle = np.arctan2(norm, q[..., 3:])
    return np.asarray(q[..., :3] * np.where(norm > 0, angle / np.where(norm > 0, norm, 1.0), 0.0))


def quaternion_exp(half_vector: ArrayLike) -> Array:
    """The inverse of `quaternion_log`: (..., 3) -> unit quaternions (..., 4) in x, y, z, w order."""
    u = np.asarray(half_vector, float)
    angle = np.linalg.norm(u, axis=-1, keepdims=True)
    return np.concatenate([u * np.sinc(angle / np.pi), np.cos(angle)], axis=-1)


@dataclass(frozen=True)
class PoseVectors:
    """How poses are written as six numbers.

    The translation is normalised by `mean` and `deviation`, both (3,). With `inverse`, the vector
    is that of camera_from_map instead of map_from_camera. `compat`: a rotation by exactly half a turn
    becomes no rotation at all, as in the authors' code, which multiplies by sign(w) = 0.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    inverse: bool = False
    compat: bool = False

    def write(self, map_from_camera: Rigid) -> Array:
        """Poses (...) -> (..., 6), rotations by at most half a turn."""
        transform = map_from_camera.inverse() if self.inverse else map_from_camera
        quaternion = transform.rotation_xyzw
        half_vector = quaternion_log(quaternion)
        if self.compat:
            half_vector = np.where(quaternion[..., 3:] == 0, 0.0, half_vector)
        translation = (transform.translation - np.asarray(self.mean)) / np.asarray(self.deviation)
        return np.concatenate([translation, half_vector], axis=-1)

    def read(self, vectors: ArrayLike) -> Rigid:
        """(..., 6) -> map_from_camera (...)."""
        v = np.asarray(vectors, float)
        translation = v[..., :3] * np.asarray(self.deviation) + np.asarray(self.mean)
        transform = Rigid.from_quaternion(quaternion_exp(v[..., 3:]), translation)
        return transform.inverse() if self.inverse else transform


CAMBRIDGE = PoseVectors(
    (-6.7909009, 8.1958034, 30.1203467), (12.6376063, 5.3801193, 19.3833127), inverse=True
)
"""Cambridge Landmarks as RelPoseGNN saw it: camera_from_map, one mean and deviation for all scenes."""
