"""Images as a scaled, cut and turned camera sees them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.resampling import resize_bilinear, short_side_size
from relpose_training.data.cell_labels import STRIDE
from relpose_training.data.scene_changes import Augmentation

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

KNOTS = 8
"""Pixels between the points where a warp is worked out; between them it is as good as linear."""
IGNORED = -100
"""The class of what is outside, which torch's cross entropy leaves out."""


def canvas_camera(camera: Camera, height: int, how: Augmentation, canvas: tuple[int, int] | None) -> Camera:
    """The camera of the network's input: resized to the short side `height * how.scale`, cut or padded.

    Raises ConfigurationError for a canvas that is not of whole cells.
    """
    scaled = camera.resized(*short_side_size(camera.height, camera.width, int(height * how.scale))[::-1])
    if canvas is None:
        return scaled
    if min(canvas) < STRIDE or canvas[0] % STRIDE or canvas[1] % STRIDE:
        raise ConfigurationError(f"expected a canvas of multiples of {STRIDE} pixels, got {canvas}")
    x, y = (
        _offset(size - room, None if how.place is None else how.place[axis])
        for axis, (size, room) in enumerate(((scaled.width, canvas[1]), (scaled.height, canvas[0])))
    )
    return scaled.cropped(x, y, canvas[1], canvas[0])


def warped_image(image: Pixels, camera: Camera, target: Camera, turn: Rigid) -> Pixels:
    """What `target` sees of an image of `camera`; `turn` is camera_from_target about the optical axis.

    A reduction is filtered, without a turn as on the robot; beyond the rim there is the mirror image.
    """
    import cv2

    turned = bool(np.any(turn.rotation_vector))
    height, width = _reduced_size(camera, target)
    if (height, width) != (camera.height, camera.width):
        camera = camera.resized(width, height)
        image = _shrunk(image, height, width) if turned else resize_bilinear(image, height, width)
    if not turned and _same_scale(camera, target):
        return _cut(image, round(camera.cx - target.cx), round(camera.cy - target.cy), target)
    x, y = _warp(camera, target, turn)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def warped_classes(classes: Pixels, camera: Camera, target: Camera, turn: Rigid) -> NDArray[np.int64]:
    """Classes (h, w) of the field of view of `camera`, at the pixels of `target`; `IGNORED` outside."""
    import cv2

    x, y = _warp(camera.resized(classes.shape[1], classes.shape[0]), target, turn)
    found = cv2.remap(
        classes.astype(np.int16), x, y, cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=float(IGNORED),
    )  # fmt: skip
    return np.asarray(found, np.int64)


def _offset(extra: int, share: float | None) -> int:
    """Where the canvas begins in an image that is `extra` pixels longer; below 0 in a shorter one."""
    if share is not None:
        return round(share * extra)
    return max(extra, 0) // 2 // STRIDE * STRIDE


def _reduced_size(camera: Camera, target: Camera) -> tuple[int, int]:
    """Height and width that `camera`'s image is filtered down to for `target`; never up."""
    scales = target.fy / camera.fy, target.fx / camera.fx
    if max(scales) >= 1:
        return camera.height, camera.width
    return round(camera.height * scales[0]), round(camera.width * scales[1])


def _shrunk(image: Pixels, height: int, width: int) -> Pixels:
    """A mean of the pixels that fall into each: ten times faster than the filter that Pillow has."""
    import cv2

    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _same_scale(camera: Camera, target: Camera) -> bool:
    return math.isclose(camera.fx, target.fx) and math.isclose(camera.fy, target.fy)


def _cut(image: Pixels, x: int, y: int, target: Camera) -> Pixels:
    """The part that begins at pixel (x, y), mirrored where it is outside."""
    import cv2

    height, width = image.shape[:2]
    above, below = max(-y, 0), max(y + target.height - height, 0)
    left, right = max(-x, 0), max(x + target.width - width, 0)
    if max(above, below, left, right) > 0:
        bordered = cv2.copyMakeBorder(image, above, below, left, right, cv2.BORDER_REFLECT_101)
        image = np.asarray(bordered, np.uint8)
    x, y = max(x, 0), max(y, 0)
    return np.ascontiguousarray(image[y : y + target.height, x : x + target.width])


def _warp(camera: Camera, target: Camera, turn: Rigid) -> tuple[Floats, Floats]:
    """Where in `camera`'s image each pixel of `target` looks: x and y (H, W)."""
    import cv2

    rows, columns = (-(-size // KNOTS) + 2 for size in (target.height, target.width))
    # cv2.resize puts knot k in the middle of pixels 8 k .. 8 k + 7.
    x, y = np.meshgrid(*(KNOTS * np.arange(-1, count - 1) + (KNOTS - 1) / 2 for count in (columns, rows)))
    rays = target.rays(np.stack([x.ravel(), y.ravel()], axis=1)) @ turn.rotation[:2, :2].T
    pixels = np.nan_to_num(camera.project(np.concatenate([rays, np.ones((len(rays), 1))], axis=1)))
    coarse = pixels.reshape(rows, columns, 2).astype(np.float32)
    fine = cv2.resize(coarse, (columns * KNOTS, rows * KNOTS), interpolation=cv2.INTER_LINEAR)
    part = fine[KNOTS : KNOTS + target.height, KNOTS : KNOTS + target.width]
    return np.ascontiguousarray(part[..., 0], np.float32), np.ascontiguousarray(part[..., 1], np.float32)
