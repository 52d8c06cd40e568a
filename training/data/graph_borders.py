"""Training images with the black borders that a narrower camera leaves in the network's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALLEST = 0.55
"""Of the width and of the height: 43 degrees of 75."""
OFF_MIDDLE = 0.04
"""Largest distance of the middle from that of the image, as a share of it."""


def narrowed(pixels: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Images (K, H, W, 3) as one narrower camera would have filled them; half of the time as they are.

    Pictures of simulated worlds are rendered by the network's camera and fill it; those of a robot's camera
    hardly ever do, and a network that never saw a border takes it for something.
    """
    if generator.random() < 0.5:
        return pixels
    out = np.zeros_like(pixels)
    rows, columns = (_inside(size, generator) for size in pixels.shape[1:3])
    out[:, rows, columns] = pixels[:, rows, columns]
    return out


def _inside(size: int, generator: np.random.Generator) -> slice:
    share, off = generator.uniform(SMALLEST, 1.0), generator.uniform(-OFF_MIDDLE, OFF_MIDDLE)
    middle, half = size * (0.5 + off), 0.5 * share * size
    return slice(max(round(middle - half), 0), min(round(middle + half), size))
