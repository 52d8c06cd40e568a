"""All textures of a world in one big picture, each at many resolutions (half octaves)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

LEVELS_PER_OCTAVE = 2
BORDER = 2
WIDTH = 16384
"""cv2.remap cannot address more than 32766 pixels a side."""


@dataclass(frozen=True)
class Atlas:
    """`pixels` (H, WIDTH, 3) BGR. Texture t at level l covers the rectangle `place[t, l]`.

    `place` (T, L, 4): x and y of the texture's top-left *corner*, width, height, such that
    texture coordinate u in [0, 1] lies at x + u * width. `levels` (T,): how many are real
    (the last one is repeated); `density` is for the caller to know.
    """

    pixels: NDArray[np.uint8]
    place: NDArray[np.float32]
    levels: NDArray[np.int32]


def _pyramid(texture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The texture and its reductions by sqrt(2), 2, 2 sqrt(2), ... down to some 2 pixels."""
    height, width = texture.shape[:2]
    levels = [texture]
    for k in range(1, 24):
        factor = 2.0 ** (-k / LEVELS_PER_OCTAVE)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        # From the level an octave up: area averaging is exact there.
        source = levels[max(0, k - LEVELS_PER_OCTAVE)]
        levels.append(np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8))
        if max(size) <= 2:
            break
    return levels


def _shelves(sizes: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], int]:
    """Places (x, y) for rectangles (w, h) on shelves of one width, and the height used."""
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i][1])
    places = [(0, 0)] * len(sizes)
    x = y = shelf = 0
    for i in order:
        w, h = sizes[i]
        if x + w > WIDTH:
            x, y, shelf = 0, y + shelf, 0
        places[i] = (x, y)
        x, shelf = x + w, max(shelf, h)
    return places, y + shelf


def build_atlas(textures: Sequence[NDArray[np.uint8]]) -> Atlas:
    """Pack textures (H, W, 3) uint8, each at most WIDTH - 4 wide, into one atlas."""
    pyramids = [_pyramid(t) for t in textures]
    flat = [(t, k, image) for t, p in enumerate(pyramids) for k, image in enumerate(p)]
    sizes = [(image.shape[1] + 2 * BORDER, image.shape[0] + 2 * BORDER) for _, _, image in flat]
    places, height = _shelves(sizes)
    pixels = np.zeros((height, WIDTH, 3), np.uint8)
    deepest = max(len(p) for p in pyramids)
    place = np.zeros((len(textures), deepest, 4), np.float32)
    for (t, k, image), (x, y), (w, h) in zip(flat, places, sizes, strict=True):
        border = (BORDER,) * 4
        pixels[y : y + h, x : x + w] = cv2.copyMakeBorder(image, *border, cv2.BORDER_REPLICATE)
        # Pixel i of the atlas is centred at i: the corner of the texture is half a pixel before.
        place[t, k] = x + BORDER - 0.5, y + BORDER - 0.5, w - 2 * BORDER, h - 2 * BORDER
    for t, p in enumerate(pyramids):
        place[t, len(p) :] = place[t, len(p) - 1]
    return Atlas(pixels, place, np.array([len(p) for p in pyramids], np.int32))
