"""Smaller images without aliasing, to the last bit as Pillow makes them.

Networks were trained on images that Pillow reduced; OpenCV's bilinear reduction skips pixels. Rows are
resized first, then columns; where the aspect changes much, newer versions of Pillow do it the other way
round, which may change a value by 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError

_BITS = 22
"""Of the fraction of a weight: Pillow keeps 32 bits, less 8 of a pixel and 2 spare."""


def resize_bilinear(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize uint8 pixels (H, W) or (H, W, C) by a triangle filter that grows with the reduction.

    Raises ImageError for another type or an empty size.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape or min(height, width) < 1:
        raise ImageError(
            f"expected uint8 pixels (H, W) or (H, W, C) and a size of at least 1x1, got {image.dtype} "
            f"{image.shape} to become {width}x{height}"
        )
    narrow = image if width == image.shape[1] else _resize_rows(image.swapaxes(0, 1), width).swapaxes(0, 1)
    return np.ascontiguousarray(narrow if height == image.shape[0] else _resize_rows(narrow, height))


def resize_short_side(image: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """Resize so that the shorter side has `length` pixels; the longer one is cut to whole pixels."""
    height, width = short_side_size(image.shape[0], image.shape[1], length)
    return resize_bilinear(image, height, width)


def short_side_size(height: int, width: int, length: int) -> tuple[int, int]:
    """Height and width after `resize_short_side`."""
    shorter = max(min(height, width), 1)
    return int(length * height / shorter), int(length * width / shorter)


def _resize_rows(image: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """(N, ...) -> (length, ...) along the first axis."""
    first, weights = _taps(image.shape[0], length)
    total = np.full((length, *image.shape[1:]), 1 << (_BITS - 1), np.int32)
    shape = (length,) + (1,) * (image.ndim - 1)
    for tap in range(weights.shape[1]):
        rows = image[np.minimum(first + tap, image.shape[0] - 1)].astype(np.int32)
        total += rows * weights[:, tap].reshape(shape)
    rounded: NDArray[np.uint8] = np.clip(total >> _BITS, 0, 255).astype(np.uint8)
    return rounded


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
