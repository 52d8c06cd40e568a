"""Epipolar geometry of two posed cameras."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid, skew

Array = NDArray[np.float64]


def essential_matrix(second_from_first: Rigid) -> Array:
    """E (3, 3) with x2^T E x1 = 0 for homogeneous rays (Longuet-Higgins 1981)."""
    return skew(second_from_first.translation) @ second_from_first.rotation


def sampson_residual(essential: Array, first: Array, second: Array) -> Array:
    """Signed first-order distance (N,) of ray pairs (N, 2), (N, 2) to the epipolar constraint.

    In units of the plane z = 1: times the focal length, pixels (Sampson 1982; Hartley and
    Zisserman 2004, eq. 11.9).
    """
    one = np.ones((len(first), 1))
    x1, x2 = np.concatenate([first, one], axis=1), np.concatenate([second, one], axis=1)
    line2, line1 = x1 @ essential.T, x2 @ essential
    algebraic = np.einsum("ij,ij->i", x2, line2)
    gradient = (line2[:, :2] ** 2).sum(axis=1) + (line1[:, :2] ** 2).sum(axis=1)
    residual: Array = algebraic / np.sqrt(np.maximum(gradient, 1e-24))
    return residual


def sampson_distance(essential: Array, first: Array, second: Array) -> Array:
    """Absolute `sampson_residual` (N,)."""
    return np.abs(sampson_residual(essential, first, second))


def epipolar_line_distances(matrix: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """How far points are from their epipolar lines: (N,) in the first image, (N,) in the second.

    For points (N, 2), (N, 2) in pixels `matrix` is the fundamental matrix, for rays on z = 1 the
    essential one: |x2^T F x1| over the length of the line's normal (Hartley and Zisserman 2004, ch. 11.4).
    A point at the epipole has no line and is infinitely far (NaN when it is on it, too).
    """
    one = np.ones((len(first), 1))
    x1, x2 = np.concatenate([first, one], axis=1), np.concatenate([second, one], axis=1)
    line2, line1 = x1 @ matrix.T, x2 @ matrix
    algebraic = np.abs(np.einsum("ij,ij->i", x2, line2))
    with np.errstate(divide="ignore", invalid="ignore"):
        in_first = algebraic / np.linalg.norm(line1[:, :2], axis=1)
        in_second = algebraic / np.linalg.norm(line2[:, :2], axis=1)
    return in_first, in_second


def fundamental_matrix(second_from_first: Rigid, first_matrix: Array, second_matrix: Array) -> Array:
    """F (3, 3) with x2^T F x1 = 0 for pixels, from the intrinsic matrices (3, 3) of both cameras."""
    essential = essential_matrix(second_from_first)
    return np.asarray(np.linalg.inv(second_matrix).T @ essential @ np.linalg.inv(first_matrix))


def nearest_point_to_lines(origins: Array, directions: Array, weights: Array) -> Array:
    """The point (3,) nearest to lines through `origins` (N, 3) along unit `directions` (N, 3).

    Weighted least squares; raises numpy.linalg.LinAlgError when all lines are parallel.
    """
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    across = across * weights[:, None, None]
    normal = across.sum(axis=0)
    if np.linalg.cond(normal) > 1e8:
        raise np.linalg.LinAlgError("the lines are parallel")
    point: Array = np.linalg.solve(normal, np.einsum("nij,nj->i", across, origins))
    return point
