"""VLAD over the map's own local features: a global descriptor that needs no weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def kmeans(samples: Array, clusters: int, seed: int = 0, iterations: int = 15) -> Array:
    """Cluster centres (K, D) of samples (N, D); the same ones for the same seed."""
    cv2.setRNGSeed(seed)
    criteria = (cv2.TERM_CRITERIA_MAX_ITER | cv2.TERM_CRITERIA_EPS, iterations, 1e-4)
    clusters = min(clusters, len(samples))
    _, _, centres = cv2.kmeans(samples, clusters, None, criteria, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    return np.ascontiguousarray(centres, np.float32)


@dataclass(frozen=True)
class Vlad:
    """Vector of locally aggregated descriptors (Jegou 2010; intra-normalised, Arandjelovic 2013).

    `centres` (K, D) of the local descriptors; `mean` (K * D,) and `basis` (K * D, G) reduce
    the raw vector by PCA with whitening. `power` < 1 dampens the strongest components.
    """

    centres: Array
    mean: Array
    basis: Array

    @property
    def dimension(self) -> int:
        """Size G of the global descriptor."""
        return int(self.basis.shape[1])

    @cached_property
    def sha256(self) -> str:
        """Of centres, mean and basis (hex): rounded as in a map file, so that it outlives saving."""
        digest = hashlib.sha256()
        for part, kind in ((self.centres, "<f4"), (self.mean, "<f4"), (self.basis, "<f2")):
            digest.update(f"{part.shape}".encode())
            digest.update(np.ascontiguousarray(part, kind).tobytes())
        return digest.hexdigest()

    @classmethod
    def train(cls, descriptors: list[Array], clusters: int = 32, dimension: int = 256, seed: int = 0) -> Vlad:
        """Learn centres and whitening from the local descriptors of the references.

        `dimension` is cut to what that many references can span.
        """
        generator = np.random.default_rng(seed)
        pool = np.concatenate([d for d in descriptors if len(d)])
        sample = pool[generator.permutation(len(pool))[:20_000]]
        centres = kmeans(sample, clusters, seed)
        raw = np.stack([raw_vlad(d, centres) for d in descriptors])
        mean = raw.mean(axis=0)
        _, singular, axes = np.linalg.svd(raw - mean, full_matrices=False)
        kept = int(min(dimension, max(1, (singular > 1e-4 * max(singular[0], 1e-12)).sum())))
        # Half whitening: full whitening lifts the noise of the last axes in small maps.
        scale = np.sqrt(singular[:kept] / max(singular[0], 1e-12))
        return cls(centres, mean, (axes[:kept] / np.maximum(scale, 1e-3)[:, None]).T.copy())

    def encode(self, descriptors: Array) -> Array:
        """Local descriptors (N, D) -> global descriptor (G,), L2-normalised; zeros if N == 0."""
        reduced = (raw_vlad(descriptors, self.centres) - self.mean) @ self.basis
        norm = float(np.linalg.norm(reduced))
        if not len(descriptors) or norm < 1e-9:
            return np.zeros(self.dimension, np.float32)
        return (reduced / norm).astype(np.float32)


def raw_vlad(descriptors: Array, centres: Array) -> Array:
    """Sum of residuals to the nearest centre, normalised per centre, then as a whole: (K * D,)."""
    if not len(descriptors):
        return np.zeros(centres.size, np.float32)
    affinity = descriptors @ centres.T - 0.5 * (centres**2).sum(axis=1)
    chosen = np.zeros_like(affinity)
    chosen[np.arange(len(descriptors)), affinity.argmax(axis=1)] = 1.0
    residual = chosen.T @ descriptors - chosen.sum(axis=0)[:, None] * centres
    residual /= np.maximum(np.linalg.norm(residual, axis=1, keepdims=True), 1e-9)
    return np.asarray(residual / max(float(np.linalg.norm(residual)), 1e-9)).ravel()


def signed_root_vlad(descriptors: NDArray[np.generic], centres: NDArray[np.generic]) -> NDArray[np.float64]:
    """Sum of residuals to the nearest centre, signed square root, then normalised as a whole: (K * D,).

    Jegou et al., Aggregating local image descriptors into compact codes, PAMI 2012. Descriptors (N, D) of any
    numeric type, ORB's bytes too; zeros if N == 0. This is the retrieval of RelPoseGNN on Cambridge.
    """
    x, c = np.asarray(descriptors, float), np.asarray(centres, float)
    if not len(x):
        return np.zeros(c.size)
    nearest = (x @ c.T - 0.5 * (c**2).sum(axis=1)).argmax(axis=1)
    residual = np.zeros_like(c)
    np.add.at(residual, nearest, x - c[nearest])
    root = np.sign(residual) * np.sqrt(np.abs(residual))
    return np.asarray(root / max(float(np.linalg.norm(root)), 1e-12)).ravel()
