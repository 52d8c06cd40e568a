"""One pose out of several opinions about it, some of which may be wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AveragedPose:
    """`pose`; how far each opinion is from it: `distance` (N,) in its unit and `angle` (N,) in radians.

    `covariance` (6, 6): weighted scatter of the opinions about the pose, divided by how many count. Raw:
    opinions of one network share errors, so it is too small until it is calibrated.
    """

    pose: Rigid
    distance: Array
    angle: Array
    covariance: Array


def weighted_mean(poses: Rigid, weights: ArrayLike | None = None) -> AveragedPose:
    """Least squares: mean of the translations, and the rotation nearest to all in the chordal sense.

    `poses` (N,), `weights` (N,) >= 0. Rotation: Markley, Cheng, Crassidis, Oshman: Averaging
    Quaternions, 2007. Raises ValueError for weights that do not fit or are all 0.
    """
    w = _checked(poses, weights)
    rotation = Rotation.from_matrix(poses.rotation).mean(w).as_matrix()
    return _described(Rigid(rotation, w @ poses.translation / w.sum()), poses, w)


def robust_mean(
    poses: Rigid, weights: ArrayLike | None = None, iterations: int = 100, tolerance: float = 1e-7
) -> AveragedPose:
    """Least absolute deviations: fewer than half of the weight, however wrong, cannot carry it away.

    Geometric median of the translations (Weiszfeld 1937) and of the rotations (Hartley, Aftab, Trumpf: L1
    rotation averaging using the Weiszfeld algorithm, CVPR 2011), each from the opinion nearest to all
    others. `poses` (N,), `weights` (N,) >= 0. Raises ValueError for weights that do not fit or are all 0.
    """
    w = _checked(poses, weights)
    apart = [poses[i].distance_to(poses) for i in range(len(w))]
    nearest = [int(np.argmin([w @ row[part] for row in apart])) for part in (0, 1)]
    pose = Rigid(poses.rotation[nearest[1]], poses.translation[nearest[0]])
    for _ in range(iterations):
        twist = pose.error_to(poses)
        step = np.concatenate([_weiszfeld_step(part, w) for part in (twist[:, :3], twist[:, 3:])])
        pose = pose.perturbed(step)
        if np.abs(step).max() < tolerance:
            break
    return _described(pose, poses, w)


def _weiszfeld_step(offsets: Array, weights: Array) -> Array:
    """From the present estimate towards the geometric median of (N, 3) offsets from it.

    An opinion that the estimate sits on pulls with no direction: it only holds back (Vardi and Zhang 2000).
    """
    norm = np.linalg.norm(offsets, axis=1)
    away = norm > 1e-12
    pull = np.zeros_like(norm)
    pull[away] = weights[away] / norm[away]
    if not pull.any():
        return np.zeros(3)
    step: Array = pull @ offsets / pull.sum()
    force = float(np.linalg.norm(pull @ offsets))
    held = min(1.0, float(weights[~away].sum()) / force) if force > 0 else 1.0
    return (1.0 - held) * step


def _checked(poses: Rigid, weights: ArrayLike | None) -> Array:
    count = len(poses.translation)
    w = np.ones(count) if weights is None else np.asarray(weights, float)
    if poses.translation.ndim != 2 or w.shape != (count,):
        raise ValueError(
            f"expected poses (N,) and weights (N,), got {poses.translation.shape[:-1]} and {w.shape}"
        )
    if not np.all(np.isfinite(w)) or w.min(initial=0.0) < 0 or w.sum() <= 0:
        raise ValueError("expected weights >= 0 that are not all 0, and at least one pose")
    return w


def _described(pose: Rigid, poses: Rigid, weights: Array) -> AveragedPose:
    twist = pose.error_to(poses)
    share = weights / weights.sum()
    count = 1.0 / float(share @ share)  # as many as equal weights would need (Kish)
    covariance = np.einsum("n,ni,nj->ij", share, twist, twist) / count
    return AveragedPose(
        pose, np.linalg.norm(twist[:, :3], axis=1), np.linalg.norm(twist[:, 3:], axis=1), covariance
    )
