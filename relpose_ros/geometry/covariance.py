"""Covariance of a camera pose from its correspondences, and moving it between frames.

All 6x6 are in ROS order: translation first, then rotation about the fixed axes of the target
frame (`Rigid.perturbed`). Why the textbook formula is not enough: docs/uncertainty.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.refinement import Linearization
from relpose_ros.geometry.rigid import Rigid, skew

Array = NDArray[np.float64]


def normal_matrix(line: Linearization, weight: Array | None = None) -> Array:
    """J^T W J (6, 6) of whitened rows; `weight` (N,) defaults to ones."""
    rows = line.jacobian.reshape(-1, 6)
    if weight is None:
        return rows.T @ rows
    return (line.jacobian * weight[:, None, None]).reshape(-1, 6).T @ rows


def residual_variance(line: Linearization, weight: Array | None = None) -> float:
    """Noise variance from the residuals, sum w |r|^2 / (2 sum w - 6), at least 1e-4 px^2."""
    weight = np.ones(len(line.residual)) if weight is None else weight
    freedom = max(2 * float(weight.sum()) - 6, 1.0)
    return max(float((weight * line.squared).sum()) / freedom, 1e-4)


def residual_covariance(line: Linearization, weight: Array | None = None) -> Array:
    """The textbook s^2 (J^T W J)^-1 (6, 6): right only for errors that are independent."""
    return residual_variance(line, weight) * safe_inverse(normal_matrix(line, weight))


def block_sandwich(line: Linearization, blocks: NDArray[np.integer], weight: Array | None = None) -> Array:
    """Cluster-robust A^-1 (sum_b g_b g_b^T) A^-1 (6, 6) with g_b = sum over block b of J^T W r.

    Errors may be correlated within a block `blocks` (N,) int, and are taken as independent
    between blocks (White 1980; Cameron and Miller 2015, without small-sample factor).
    """
    bread = safe_inverse(normal_matrix(line, weight))
    scores = np.einsum("nri,nr->ni", line.jacobian, line.residual)
    if weight is not None:
        scores = scores * weight[:, None]
    sums = np.zeros((int(blocks.max(initial=0)) + 1, 6))
    np.add.at(sums, blocks, scores)
    return bread @ (sums.T @ sums) @ bread


def propagated_covariance(line: Linearization, noise: Array) -> Array:
    """A^-1 (sum J^T S J) A^-1 (6, 6): of a least-squares pose whose rows have known noise S (N, 2, 2).

    Exact for errors that are independent between rows; `line` as weighted in the fit.
    """
    bread = safe_inverse(normal_matrix(line))
    return np.asarray(bread @ np.einsum("nri,nrs,nsj->ij", line.jacobian, noise, line.jacobian) @ bread)


def image_blocks(rays: Array, cells: int = 4) -> NDArray[np.int64]:
    """Block index (N,) of rays (N, 2): a `cells` x `cells` grid over their own extent."""
    low, high = rays.min(axis=0), rays.max(axis=0)
    cell = np.floor((rays - low) / np.maximum(high - low, 1e-9) * cells * 0.999999).astype(np.int64)
    return np.asarray(cell[:, 0] * cells + cell[:, 1])


def clustered_covariance(
    line: Linearization, blocks: NDArray[np.integer], weight: Array | None = None
) -> Array:
    """The residual covariance, inflated as far as errors are clustered in the image (6, 6).

    The block sandwich itself has too few blocks to trust every entry, so only its mean ratio
    to the residual covariance is used, with the small-sample factor B / (B - 1), at least 1.
    """
    plain = residual_covariance(line, weight)
    count = len(np.unique(blocks))
    if count < 3:
        return plain
    ratio = np.trace(np.linalg.solve(plain, block_sandwich(line, blocks, weight))) / 6
    return plain * max(1.0, float(ratio) * count / (count - 1))


def transform_pose_covariance(covariance: Array, map_from_camera: Rigid, camera_from_base: Rigid) -> Array:
    """Covariance (6, 6) of `map_from_camera` -> covariance of `map_from_camera @ camera_from_base`.

    The rotation is about the same fixed axes; the base moves with the lever arm p (map axes):
    dt_base = dt + dtheta x p, so the adjoint is [[I, -[p]x], [0, I]] (`lever_adjoint`).
    """
    adjoint = lever_adjoint(map_from_camera.rotation @ camera_from_base.translation)
    return adjoint @ covariance @ adjoint.T


def lever_adjoint(lever: Array) -> Array:
    """(6, 6) that turns the twist of a body into that of a point at `lever` (3,) from it, in target axes."""
    adjoint = np.eye(6)
    adjoint[:3, 3:] = -skew(lever)
    return adjoint


def rotate_covariance(covariance: Array, target_from_source: Rigid) -> Array:
    """Covariance (6, 6) expressed in another fixed frame whose axes are turned."""
    turn = np.kron(np.eye(2), target_from_source.rotation)
    return turn @ covariance @ turn.T


def nees(error: Array, covariance: Array) -> float:
    """Normalised estimation error squared e^T S^-1 e; inf if S is not positive definite."""
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return float("inf")
    whitened = np.linalg.solve(factor, error)
    return float(whitened @ whitened)


def checked_covariance(covariance: Array) -> Array:
    """The covariance (6, 6), made exactly symmetric. Raises ValueError for anything that is none."""
    matrix = np.asarray(covariance, float)
    if matrix.shape != (6, 6) or not np.isfinite(matrix).all():
        raise ValueError(f"expected a finite covariance (6, 6), got {matrix.shape}")
    deviation = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    if (deviation <= 0).any():
        raise ValueError("expected a covariance with positive variances, got a variance of 0 or less")
    correlation = matrix / np.outer(deviation, deviation)
    if np.abs(correlation - correlation.T).max() > 1e-6 or np.linalg.eigvalsh(correlation)[0] <= 0:
        raise ValueError("expected a symmetric, positive definite covariance, got one that is not")
    return np.asarray(0.5 * (matrix + matrix.T))


def safe_inverse(normal: Array) -> Array:
    """Inverse of a symmetric (6, 6), with directions that were not observed kept finite."""
    scale = np.sqrt(np.maximum(np.diag(normal), 1e-30))
    values, vectors = np.linalg.eigh(normal / np.outer(scale, scale))
    values = np.maximum(values, 1e-12)
    inverse = (vectors / values) @ vectors.T
    return np.asarray(inverse / np.outer(scale, scale))


def axis_deviation(covariance: Array) -> Array:
    """Covariances (..., 3, 3) -> one standard deviation each (...): root of the mean variance of the axes.

    Of an isotropic covariance it is the standard deviation itself.
    """
    return np.asarray(np.sqrt(np.trace(covariance, axis1=-2, axis2=-1) / 3))


def ellipse_axes(covariance: Array, probability: float = 0.95) -> Array:
    """Half axes (2,), longer first, of the ellipse that holds a plane error of covariance (2, 2) this often.

    The squared Mahalanobis distance is chi-square with two degrees of freedom; its quantile is -2 ln(1 - p).
    """
    variances = np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0.0)
    return np.asarray(np.sqrt(-2.0 * np.log1p(-probability) * variances))
