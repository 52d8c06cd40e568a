"""Image and depth files of a dataset, read when they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.images import decode_image, imdecode, read_bytes, refuse_truncated, size_of

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")


def read_image(path: Path, camera: Camera | None = None) -> NDArray[np.uint8]:
    """Read an image file, (H, W) grey or (H, W, 3) BGR uint8, of the size that `camera` describes.

    Raises ImageError if it is missing, empty, broken, or of another size.
    """
    data = read_bytes(path)
    if camera is not None:  # before it is decoded: a header may claim anything
        _refuse_other_size(size_of(data, str(path)), camera, path)
    image = decode_image(data, str(path))
    if camera is not None:
        _refuse_other_size((image.shape[1], image.shape[0]), camera, path)
    return image


def _refuse_other_size(size: tuple[int, int], camera: Camera, path: Path) -> None:
    if size != (camera.width, camera.height):
        raise ImageError(
            f"{path}: expected {camera.width}x{camera.height} pixels as its camera says, got "
            f"{size[0]}x{size[1]}; give the calibration of this image size"
        )


def read_depth(path: Path, units_per_metre: float = 1000.0, invalid: int = 0) -> NDArray[np.float32]:
    """Read a 16-bit depth image -> metres (H, W) float32, 0 where unknown (`invalid` or 0 in the file)."""
    import cv2

    data = read_bytes(path)
    refuse_truncated(data, str(path))
    raw = imdecode(data, cv2.IMREAD_UNCHANGED, str(path))
    if raw is None or raw.ndim != 2 or raw.dtype != np.uint16:
        came = "nothing that decodes" if raw is None else f"{raw.dtype} {raw.shape}"
        raise ImageError(f"{path}: expected a one-channel 16-bit depth image, got {came}")
    metres = np.asarray(raw, np.float32) / np.float32(units_per_metre)
    metres[raw == invalid] = 0
    return np.asarray(metres, np.float32)


@dataclass(frozen=True)
class ImageFile:
    """A `PosedImage.load` that reads the file when it is called; remembers where the bytes lie."""

    path: Path
    camera: Camera | None = None

    def __call__(self) -> NDArray[np.uint8]:
        """The pixels, of the size that `camera` describes."""
        return read_image(self.path, self.camera)


def depth_loader(
    path: Path, units_per_metre: float = 1000.0, invalid: int = 0
) -> Callable[[], NDArray[np.float32]] | None:
    """A `PosedImage.load_depth` for `path`, or None where there is no such file."""
    return partial(read_depth, path, units_per_metre, invalid) if path.is_file() else None


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file."""
    height, width = read_image(path).shape[:2]
    return width, height
