"""One pose out of several opinions that say how sure they are, some of which may be wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.averaging import robust_mean
from relpose_ros.geometry.covariance import rotate_covariance, safe_inverse
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]

GATE = 16.812
"""Squared Mahalanobis distance beyond which an opinion does not agree: 99 % of chi-square with 6 degrees."""

_ROBUST = 3.5
"""Scale of the Cauchy weights: root of the 95 % quantile of that chi-square."""


@dataclass(frozen=True)
class FusedPose:
    """`pose`; `squared` (N,): Mahalanobis distance of each opinion from it, `agreeing` (N,) below the gate.

    `covariance` (6, 6) of the pose, if the errors of the opinions that agree are independent and as large as
    they say; `excess`: by what factor these opinions' squared distances from the pose exceed what they say,
    1 where they do not; `worth`: how many opinions, all equally sure, would say as much as the agreeing ones
    do: an unsure one agrees with anything (Kish's effective number, of their shares in the information).
    """

    pose: Rigid
    squared: Array
    agreeing: NDArray[np.bool_]
    covariance: Array
    excess: float
    worth: float


def moved_covariance(covariance: Array, target_from_source: Rigid) -> Array:
    """Covariances (N, 6, 6) of source_from_thing -> those of target_from_source @ source_from_thing (N,).

    `target_from_source` (N,) is exact: the axes turn, and nothing else happens.
    """
    pairs = zip(covariance, range(len(covariance)), strict=True)
    moved = [rotate_covariance(one, target_from_source[i]) for one, i in pairs]
    return np.stack(moved) if moved else np.zeros((0, 6, 6))


def fused_from_references(
    map_from_reference: Rigid, reference_from_query: Rigid, covariances: Array
) -> FusedPose:
    """map_from_query by what each reference (N,) says, with covariances (N, 6, 6) in its own axes."""
    opinions = map_from_reference @ reference_from_query
    return fused_pose(opinions, moved_covariance(covariances, map_from_reference))


def fused_pose(
    poses: Rigid, covariances: Array, gate: float = GATE, iterations: int = 20, tolerance: float = 1e-7
) -> FusedPose:
    """Maximum likelihood under Cauchy tails, from the robust mean on (`robust_mean`).

    `poses` (N,) of one thing in one frame; `covariances` (N, 6, 6) in ROS order, in that frame. Gauss-Newton
    on the twists to the opinions, weighted by information; of opinions that do not agree the weight falls
    with the square of their Mahalanobis distance. Raises ValueError for shapes that do not fit or covariances
    that are not positive.
    """
    information = _information(poses, covariances)
    pose = robust_mean(poses, iterations=10).pose  # a start: exact to a few per cent is enough
    for _ in range(iterations):
        twist = pose.error_to(poses)
        squared = np.einsum("ni,nij,nj->n", twist, information, twist)
        weight = 1 / (1 + squared / _ROBUST**2)
        normal = np.einsum("n,nij->ij", weight, information)
        step = safe_inverse(normal) @ np.einsum("n,nij,nj->i", weight, information, twist)
        pose = pose.perturbed(step)
        if np.abs(step).max() < tolerance:
            break
    return _described(pose, poses, information, gate)


def _described(pose: Rigid, poses: Rigid, information: Array, gate: float) -> FusedPose:
    twist = pose.error_to(poses)
    squared = np.einsum("ni,nij,nj->n", twist, information, twist)
    agreeing = np.asarray(squared < gate)
    # Where none agrees with their mean, the one that is nearest stands for what is known.
    used = agreeing if agreeing.any() else squared == squared.min()
    covariance = safe_inverse(information[used].sum(axis=0))
    share = np.einsum("nij,ji->n", information[used], covariance) / 6
    worth = float(share.sum() ** 2 / (share @ share)) if agreeing.any() else 0.0
    # Of n opinions about one pose n - 1 are free to differ.
    freedom = 6 * max(int(used.sum()) - 1, 1)
    excess = max(1.0, float(squared[used].sum()) / freedom)
    return FusedPose(pose, squared, agreeing, covariance, excess, worth)


def _information(poses: Rigid, covariances: Array) -> Array:
    count = len(poses.translation)
    if poses.translation.ndim != 2 or not count or covariances.shape != (count, 6, 6):
        raise ValueError(
            f"expected poses (N,) and covariances (N, 6, 6), N at least 1, got "
            f"{poses.translation.shape[:-1]} and {covariances.shape}"
        )
    if not np.isfinite(covariances).all() or not (np.linalg.eigvalsh(covariances) > 0).all():
        raise ValueError("expected covariances that are positive definite")
    return np.stack([safe_inverse(one) for one in covariances])
