"""SIFT in half the size: a fixed frequency basis in place of a learned projection.

A SIFT descriptor is a 4x4 grid of 8-bin orientation histograms, smooth along all three axes.
A cosine transform over the grid and a Fourier transform over the orientations pack its energy
into the low frequencies (as PCA-SIFT does, Ke and Sukthankar 2004) without being trained, so
descriptors of different maps stay comparable. `python -m benchmarks.descriptor_size` shows
the cost in matches.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

COMPRESSED_DIMENSION = 64

_ORIENTATION_COST = (0.8, 0.0, 0.4, 1.2, 2.0)
"""Preference among orientation frequencies 0..4: edges live at 1 and 2, and RootSIFT's norm
makes frequency 0 nearly constant."""


@cache
def frequency_basis(dimension: int = COMPRESSED_DIMENSION) -> NDArray[np.float32]:
    """Orthonormal columns (128, dimension), low frequencies first, without the constant one."""
    cosine = dct(np.eye(4), axis=0, norm="ortho")
    angle = 2 * np.pi * np.arange(8) / 8
    waves = [np.full(8, 8**-0.5)]
    for frequency in (1, 2, 3):
        waves += [np.cos(frequency * angle) / 2, np.sin(frequency * angle) / 2]
    waves.append(np.cos(4 * angle) * 8**-0.5)
    columns = np.einsum("iy,jx,lo->ijlyxo", cosine, cosine, np.array(waves)).reshape(128, 128)
    row, column, wave = np.indices((4, 4, 8)).reshape(3, 128)
    cost = row + column + np.array(_ORIENTATION_COST)[(wave + 1) // 2]
    cost[0] = np.inf
    order = np.argsort(cost, kind="stable")[:dimension]
    return np.ascontiguousarray(columns[order].T, np.float32)


def compress(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """RootSIFT (N, 128) -> (N, 64), L2-normalised."""
    reduced = descriptors @ frequency_basis()
    norm = np.linalg.norm(reduced, axis=1, keepdims=True)
    return np.asarray(reduced / np.maximum(norm, np.float32(1e-9)))


def quantize(descriptors: NDArray[np.float32]) -> NDArray[np.int8]:
    """L2-normalised (N, D) -> int8 (N, D), each row scaled to its largest entry."""
    peak = np.abs(descriptors).max(axis=1, keepdims=True, initial=1e-9)
    return np.asarray(np.round(descriptors * (127 / peak)), np.int8)


def dequantize(stored: NDArray[np.int8]) -> NDArray[np.float32]:
    """int8 (N, D) -> float32 (N, D), L2-normalised."""
    values = stored.astype(np.float32)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norm, np.float32(1e-9)))
