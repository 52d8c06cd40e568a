"""Descriptors that neighbours in time share, and the answer that compares with all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def unit(rows: NDArray[np.float64]) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def clustered(count: int, dimension: int, seed: int, per_cluster: int = 20) -> Floats:
    """Descriptors as a drive gives them: neighbours in time look alike."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((count // per_cluster + 1, dimension))
    noise = 0.5 * generator.standard_normal((count, dimension))
    return unit(np.repeat(centres, per_cluster, axis=0)[:count] + noise)


def brute_force(descriptors: Floats, queries: Floats, k: int) -> Indices:
    similarity = queries.astype(float) @ descriptors.astype(float).T
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]
