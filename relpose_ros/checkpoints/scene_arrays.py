"""Between an image and a network of scene coordinates: pixels in; points, covariances, rays out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CheckpointError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.resampling import resize_short_side

Array = NDArray[np.float64]

_MIN_DEVIATION = 1e-4
"""Metres. No network knows a coordinate better; zero would make a covariance singular."""

_LUMA_BGR = np.array([0.114, 0.587, 0.299], np.float32)
"""ITU-R BT.601."""


def network_input(
    image: NDArray[np.uint8], short: int, channels: int, mean: tuple[float, ...], spread: tuple[float, ...]
) -> NDArray[np.float32]:
    """Grey (H, W) or BGR (H, W, 3) uint8 -> (1, channels, h, w): (value / 255 - mean) / spread.

    Reduced without aliasing to a short side of `short` px; one channel is luma, three are RGB.
    """
    small = resize_short_side(_channels(image, channels), short)
    values = small.reshape(*small.shape[:2], channels).astype(np.float32) / 255
    values = (values - np.asarray(mean, np.float32)) / np.asarray(spread, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def _channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if channels == 3:
        return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., ::-1]
    if image.ndim == 2:
        return image
    return np.asarray(np.rint(image.astype(np.float32) @ _LUMA_BGR), np.uint8)


def decode_outputs(outputs: tuple[NDArray[Any], ...], name: str) -> tuple[Array, Array | None]:
    """Outputs (1, c, h, w) -> points (h, w, 3), and covariances (h, w, 3, 3) if the network says them.

    Of the channels together, 3 are coordinates; 4: a standard deviation too; 9: the lower Cholesky factor
    of the covariance too (l11, l21, l22, l31, l32, l33). Raises CheckpointError, with `name`, for others.
    """
    shapes = [tuple(output.shape) for output in outputs]
    fits = all(len(s) == 4 and s[0] == 1 and s[2:] == shapes[0][2:] for s in shapes)
    count = sum(s[1] for s in shapes) if fits else 0
    if count not in (3, 4, 9):
        raise CheckpointError(
            f"{name}: expected scene coordinates (1, 3, h, w), with a deviation (4) or a Cholesky factor "
            f"(9), got outputs {shapes}"
        )
    values = np.concatenate([output[0] for output in outputs]).astype(float).transpose(1, 2, 0)
    points = np.ascontiguousarray(values[..., :3])
    if count == 3:
        return points, None
    return points, _covariances(values[..., 3:])


def _covariances(values: Array) -> Array:
    """(h, w, 1) deviations or (h, w, 6) Cholesky factors -> (h, w, 3, 3)."""
    factor = np.zeros((*values.shape[:2], 3, 3))
    if values.shape[2] == 1:
        factor[..., range(3), range(3)] = np.maximum(values, _MIN_DEVIATION)
    else:
        factor[..., (0, 1, 1, 2, 2, 2), (0, 0, 1, 0, 1, 2)] = values
        diagonal = np.einsum("...ii->...i", factor)
        np.maximum(diagonal, _MIN_DEVIATION, out=diagonal)
    return np.asarray(factor @ factor.swapaxes(-1, -2))


def cell_rays(camera: Camera, shape: tuple[int, int], cell: int) -> tuple[Array, Array]:
    """Pixels (N, 2) of the cells of a map `shape` (h, w) in a camera's image, and their rays (N, 2).

    Cell (x, y) speaks of pixel (cell * x + cell // 2, cell * y + cell // 2); NaN rays outside the image.
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels = cell * np.stack([x.ravel(), y.ravel()], axis=1) + float(cell // 2)
    return pixels, np.where(camera.contains(pixels)[:, None], camera.rays(pixels), np.nan)
