"""Rigid transforms, batched over leading axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


def skew(vector: ArrayLike) -> Array:
    """Cross-product matrices: (..., 3) -> (..., 3, 3) with `skew(a) @ b == cross(a, b)`."""
    v = np.asarray(vector, float)
    out = np.zeros((*v.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return out


@dataclass(frozen=True, eq=False)
class Rigid:
    """A rotation and a translation, named `target_from_source` where it is used.

    `rotation` (..., 3, 3) and `translation` (..., 3), float64, metres. Applied to a point
    of the source frame it gives the same point in the target frame: `R @ p + t`.
    """

    rotation: Array
    translation: Array

    def __post_init__(self) -> None:
        rotation = np.asarray(self.rotation, float)
        translation = np.asarray(self.translation, float)
        if rotation.shape[-2:] != (3, 3) or translation.shape != rotation.shape[:-1]:
            raise ValueError(
                f"expected rotation (..., 3, 3) and translation (..., 3), "
                f"got {rotation.shape} and {translation.shape}"
            )
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @classmethod
    def identity(cls) -> Rigid:
        """The transform that changes nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(cls, rotation_xyzw: ArrayLike, translation: ArrayLike) -> Rigid:
        """From quaternions (..., 4) in x, y, z, w order (normalised here) and translations.

        Raises ValueError for a quaternion of norm zero or with a value that is not finite.
        """
        quaternion = np.asarray(rotation_xyzw, float)
        norm = np.linalg.norm(quaternion, axis=-1)
        if not np.all(np.isfinite(norm)) or np.any(norm < 1e-9):
            raise ValueError(f"expected quaternions of norm 1, got norm {norm}")
        matrix = Rotation.from_quat(quaternion.reshape(-1, 4)).as_matrix()
        return cls(matrix.reshape(*quaternion.shape[:-1], 3, 3), np.asarray(translation, float))

    @classmethod
    def from_rotation_vector(cls, rotation_vector: ArrayLike, translation: ArrayLike) -> Rigid:
        """From rotation vectors (..., 3) in radians and translations (..., 3)."""
        vector = np.asarray(rotation_vector, float)
        matrix = Rotation.from_rotvec(vector.reshape(-1, 3)).as_matrix()
        return cls(matrix.reshape(*vector.shape[:-1], 3, 3), np.asarray(translation, float))

    @classmethod
    def from_matrix(cls, matrix: ArrayLike) -> Rigid:
        """From homogeneous matrices (..., 4, 4) or (..., 3, 4)."""
        m = np.asarray(matrix, float)
        return cls(m[..., :3, :3], m[..., :3, 3])

    @classmethod
    def stack(cls, transforms: list[Rigid]) -> Rigid:
        """One batched transform out of a list of single ones."""
        return cls(
            np.stack([t.rotation for t in transforms]),
            np.stack([t.translation for t in transforms]),
        )

    def __getitem__(self, index: Any) -> Rigid:
        return Rigid(self.rotation[index], self.translation[index])

    def __len__(self) -> int:
        return len(self.translation) if self.translation.ndim > 1 else 1

    def __matmul__(self, other: Rigid) -> Rigid:
        """Chain: `a_from_b @ b_from_c` is `a_from_c`."""
        rotation = self.rotation @ other.rotation
        translation = (self.rotation @ other.translation[..., None])[..., 0] + self.translation
        return Rigid(rotation, translation)

    def inverse(self) -> Rigid:
        """`source_from_target`."""
        transposed = np.swapaxes(self.rotation, -1, -2)
        return Rigid(transposed, -(transposed @ self.translation[..., None])[..., 0])

    def apply(self, points: ArrayLike) -> Array:
        """Points (N, 3) of the source frame -> (N, 3) in the target frame (unbatched transform)."""
        return np.asarray(points, float) @ self.rotation.T + self.translation

    @property
    def matrix(self) -> Array:
        """Homogeneous matrix (..., 4, 4)."""
        out = np.zeros((*self.translation.shape[:-1], 4, 4))
        out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = self.rotation, self.translation, 1.0
        return out

    @property
    def rotation_xyzw(self) -> Array:
        """Unit quaternions (..., 4) in x, y, z, w order with w >= 0."""
        quaternion: Array = Rotation.from_matrix(self.rotation.reshape(-1, 3, 3)).as_quat(canonical=True)
        return quaternion.reshape(*self.translation.shape[:-1], 4)

    @property
    def rotation_vector(self) -> Array:
        """Rotation vectors (..., 3), radians."""
        vector: Array = Rotation.from_matrix(self.rotation.reshape(-1, 3, 3)).as_rotvec()
        return vector.reshape(self.translation.shape)

    @property
    def angle(self) -> Array:
        """Rotation angles (...), radians, in [0, pi]."""
        return np.asarray(np.linalg.norm(self.rotation_vector, axis=-1))

    def perturbed(self, twist: ArrayLike) -> Rigid:
        """Moved by `twist` (6,): translation added, then rotation about the target's fixed axes.

        This is the perturbation that our covariances speak of, and the meaning of
        `geometry_msgs/PoseWithCovariance`.
        """
        twist = np.asarray(twist, float)
        turn = Rotation.from_rotvec(twist[..., 3:].reshape(-1, 3)).as_matrix()
        turn = turn.reshape(*twist.shape[:-1], 3, 3)
        return Rigid(turn @ self.rotation, self.translation + twist[..., :3])

    def error_to(self, other: Rigid) -> Array:
        """The twist (..., 6) with `self.perturbed(twist) == other`."""
        turn = other.rotation @ np.swapaxes(self.rotation, -1, -2)
        vector = Rotation.from_matrix(turn.reshape(-1, 3, 3)).as_rotvec()
        translation = other.translation - self.translation
        return np.concatenate([translation, vector.reshape(translation.shape)], axis=-1)

    def distance_to(self, other: Rigid) -> tuple[Array, Array]:
        """Distance of the origins in metres and angle between the rotations in radians."""
        twist = self.error_to(other)
        return np.linalg.norm(twist[..., :3], axis=-1), np.linalg.norm(twist[..., 3:], axis=-1)


def interpolate(start: Rigid, end: Rigid, fraction: float) -> Rigid:
    """Between two transforms: linear in translation, shortest arc in rotation."""
    twist = start.error_to(end)
    return start.perturbed(fraction * twist)
