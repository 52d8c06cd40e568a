"""Ideal correspondences of a known geometry, to measure an estimated essential matrix by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def virtual_correspondences(essential: NDArray[np.float64]) -> NDArray[np.float32]:
    """Correspondences (400, 4) of `essential` (3, 3) all over both images.

    A grid on (-1, 1) x (-1, 1) of the plane z = 1, seen alike in both images, moved by the least that makes
    it fulfil x2' E x1 = 0 (Hartley and Zisserman 2004, algorithm 12.1).
    """
    import cv2

    axis = np.arange(-1, 1, 0.1)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(1, -1, 2).astype(np.float32)
    first, second = cv2.correctMatches(essential, grid, grid)
    return np.concatenate([first[0], second[0]], axis=1)
