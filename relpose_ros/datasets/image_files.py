"""Image bytes -> pixels: the one place where files of a dataset are decoded.

EXIF orientation is ignored on purpose: calibrations describe the stored pixels, not the turned picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Compressed bytes -> uint8 pixels, (H, W) grey or (H, W, 3) BGR.

    Raises ImageError, naming `name`, when there is nothing, not an image, or a truncated one.
    """
    import cv2

    _refuse_truncated(data, name)
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = _imdecode(data, flags)
    if image is None:
        raise ImageError(f"{name}: expected an image, got {len(data)} bytes that OpenCV cannot decode")
    return np.ascontiguousarray(image, np.uint8)


def read_image(path: Path, camera: Camera | None = None) -> NDArray[np.uint8]:
    """Read an image file, (H, W) grey or (H, W, 3) BGR uint8, of the size that `camera` describes.

    Raises ImageError if it is missing, empty, broken, or of another size.
    """
    image = decode_image(_read(path), str(path))
    height, width = image.shape[:2]
    if camera is not None and (width, height) != (camera.width, camera.height):
        raise ImageError(
            f"{path}: expected {camera.width}x{camera.height} pixels as its camera says, "
            f"got {width}x{height}; "
            "give the calibration of this image size"
        )
    return image


def read_depth(path: Path, units_per_metre: float = 1000.0, invalid: int = 0) -> NDArray[np.float32]:
    """Read a 16-bit depth image -> metres (H, W) float32, 0 where unknown (`invalid` or 0 in the file)."""
    import cv2

    data = _read(path)
    _refuse_truncated(data, str(path))
    raw = _imdecode(data, cv2.IMREAD_UNCHANGED)
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot read the image ({error.strerror})") from error


def _imdecode(data: bytes, flags: int) -> NDArray[Any] | None:
    import cv2

    if not data:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # OpenCV raises for absurd sizes instead of returning None
        return None


def _refuse_truncated(data: bytes, name: str) -> None:
    """OpenCV fills the missing part of a cut file with grey and says nothing; we refuse it."""
    if not data:
        raise ImageError(f"{name}: the image is empty (0 bytes); copy it again")
    # FF DA starts a scan and FF D9 ends the file; an EXIF thumbnail's own FF D9 comes before the scan.
    cut_jpeg = data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda")
    cut_png = data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]
    if cut_jpeg or cut_png:
        raise ImageError(f"{name}: the image is cut off after {len(data)} bytes; copy it again")
