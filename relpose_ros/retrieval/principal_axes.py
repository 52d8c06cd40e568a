"""The directions of largest spread of a set of vectors, from whichever of two matrices is the smaller."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

SMALLEST_VARIANCE = 1e-9
"""No variance is given as smaller."""

RELATIVE_RANK = 1e-10
"""A variance this much smaller than the largest is rounding: the vectors have no spread there."""

BLOCK = 4096
"""Rows or columns turned to float64 at once."""


def principal_axes(
    vectors: Floats, count: int, refuse_flat: bool = True
) -> tuple[Doubles, Doubles, NDArray[np.floating]]:
    """Orthonormal axes (D, count), variances (count,), descending, and the mean (D,) of vectors (N, D).

    The covariance (D, D) is decomposed if D <= N, else the Gram matrix (N, N), which has the same
    eigenvalues. The largest entry of an axis is positive. Unless `refuse_flat` is off, raises
    ConfigurationError if the vectors spread along fewer than `count` axes.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean.astype(np.float32)
    dual = vectors.shape[1] > vectors.shape[0]
    variances, axes = _largest(_gram(centred) if dual else _covariance(centred), count)
    if refuse_flat:
        _check_rank(variances, vectors.shape)
    variances = np.maximum(variances, SMALLEST_VARIANCE)
    if dual:
        scale = np.sqrt(variances * (len(vectors) - 1))
        axes = (centred.T @ (axes / scale).astype(np.float32)).astype(np.float64)
    return _signed(axes), variances, mean


def _check_rank(variances: Doubles, shape: tuple[int, ...]) -> None:
    rank = int(np.sum(variances > max(SMALLEST_VARIANCE, RELATIVE_RANK * variances[0])))
    if rank < len(variances):
        raise ConfigurationError(
            f"expected vectors that spread along {len(variances)} axes, got {shape} that do along {rank}; "
            f"give more different images, or a dimension of at most {rank}"
        )


def _gram(centred: Floats) -> Doubles:
    """Dot products (N, N) of centred vectors (N, D), over N - 1."""
    gram = np.zeros((len(centred), len(centred)))
    for start in range(0, centred.shape[1], BLOCK):
        block = centred[:, start : start + BLOCK].astype(np.float64)
        gram += block @ block.T
    return np.asarray(gram / (len(centred) - 1))


def _covariance(centred: Floats) -> Doubles:
    """Covariance (D, D) of centred vectors (N, D)."""
    covariance = np.zeros((centred.shape[1], centred.shape[1]))
    for start in range(0, len(centred), BLOCK):
        block = centred[start : start + BLOCK].astype(np.float64)
        covariance += block.T @ block
    return np.asarray(covariance / (len(centred) - 1))


def _largest(matrix: Doubles, count: int) -> tuple[Doubles, Doubles]:
    """The `count` largest eigenvalues of a symmetric matrix, descending, and their vectors as columns."""
    from scipy.linalg import eigh

    values, vectors = eigh(matrix, subset_by_index=[len(matrix) - count, len(matrix) - 1])
    return values[::-1], vectors[:, ::-1]


def _signed(axes: Doubles) -> Doubles:
    """Axes (D, k) with the sign that makes the largest entry of each positive."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return np.asarray(axes * np.where(largest < 0, -1.0, 1.0))
