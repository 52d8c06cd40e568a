"""Smaller images without aliasing, to the last bit as Pillow makes them.

Networks were trained on images that Pillow reduced; OpenCV's bilinear reduction skips pixels. Rows are
resized first, then columns; where the aspect changes much, newer versions of Pillow do it the other way
round, which may change a value by 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError

_BITS = 22
"""Of the fraction of a weight: Pillow keeps 32 bits, less 8 of a pixel and 2 spare."""

_BLOCK = 16
"""Rows or columns that are made by one product of matrices."""


def resize_bilinear(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize uint8 pixels (H, W) or (H, W, C) by a triangle filter that grows with the reduction.

    Raises ImageError for another type or an empty size.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape or min(height, width) < 1:
        raise ImageError(
            f"expected uint8 pixels (H, W) or (H, W, C) and a size of at least 1x1, got {image.dtype} "
            f"{image.shape} to become {width}x{height}"
        )
    if image.ndim == 2:
        narrow = image if width == image.shape[1] else _resize_columns(image, width)
        return np.ascontiguousarray(narrow if height == image.shape[0] else _resize_rows(narrow, height))
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    planes = [resize_bilinear(image[..., channel], height, width) for channel in range(image.shape[2])]
    return np.stack(planes, axis=2)


def resize_short_side(image: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """Resize so that the shorter side has `length` pixels; the longer one is cut to whole pixels."""
    height, width = short_side_size(image.shape[0], image.shape[1], length)
    return resize_bilinear(image, height, width)


def short_side_size(height: int, width: int, length: int) -> tuple[int, int]:
    """Height and width after `resize_short_side`."""
    shorter = max(min(height, width), 1)
    return int(length * height / shorter), int(length * width / shorter)


def _resize_rows(plane: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """(H, W) -> (length, W)."""
    out = np.empty((length, plane.shape[1]), np.uint8)
    for made, used, band in _bands(plane.shape[0], length):
        out[made] = np.minimum(band @ plane[used].astype(np.float64) + 0.5, 255.0)
    return out


def _resize_columns(plane: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """(H, W) -> (H, length)."""
    out = np.empty((plane.shape[0], length), np.uint8)
    for made, used, band in _bands(plane.shape[1], length):
        out[:, made] = np.minimum(plane[:, used].astype(np.float64) @ band.T + 0.5, 255.0)
    return out


def _bands(before: int, after: int) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Output pixels, the input pixels that they are made of, and the weights (outputs, inputs) of these.

    Weights are whole numbers over a power of two: float64 adds their products without rounding, in any order.
    """
    first, weights = _taps(before, after)
    taps = first[:, None] + np.arange(weights.shape[1])
    for start in range(0, after, _BLOCK):
        made = slice(start, min(start + _BLOCK, after))
        low, high = int(taps[made][0, 0]), int(taps[made][-1, -1]) + 1
        band = np.zeros((made.stop - start, high - low))
        np.put_along_axis(band, taps[made] - low, weights[made] / float(1 << _BITS), axis=1)
        yield made, slice(low, min(high, before)), band[:, : before - low]


def _taps(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The first input pixel of each output pixel (after,), and the weights from there on (after, taps)."""
    scale = before / after
    reach = max(scale, 1.0)
    centre = (np.arange(after) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), before)
    pixels = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(1.0 - np.abs((pixels + 0.5 - centre[:, None]) / reach), 0.0)
    weights[pixels >= last[:, None]] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return first, np.floor(weights * (1 << _BITS) + 0.5).astype(np.int32)
