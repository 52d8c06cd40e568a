"""Image bytes -> pixels: the one place where images are decoded.

EXIF orientation is ignored on purpose: calibrations describe the stored pixels, not the turned picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError


def decode_image(data: bytes, name: str, grey: bool = False) -> NDArray[np.uint8]:
    """Compressed bytes -> uint8 pixels, (H, W) grey or (H, W, 3) BGR; with `grey` always (H, W).

    Raises ImageError, naming `name`, when there is nothing, not an image, or a truncated one.
    """
    import cv2

    refuse_truncated(data, name)
    colours = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_ANYCOLOR
    flags = colours | cv2.IMREAD_IGNORE_ORIENTATION
    image = imdecode(data, flags)
    if image is None:
        raise ImageError(f"{name}: expected an image, got {len(data)} bytes that OpenCV cannot decode")
    return np.ascontiguousarray(image, np.uint8)


def read_bytes(path: Path) -> bytes:
    """All of a file. Raises ImageError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot read the image ({error.strerror})") from error


def imdecode(data: bytes, flags: int) -> NDArray[Any] | None:
    """OpenCV's decoder, with None for whatever it cannot make sense of."""
    import cv2

    if not data:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # OpenCV raises for absurd sizes instead of returning None
        return None


def refuse_truncated(data: bytes, name: str) -> None:
    """OpenCV fills the missing part of a cut file with grey and says nothing; we refuse it."""
    if not data:
        raise ImageError(f"{name}: the image is empty (0 bytes); copy it again")
    # FF DA starts a scan and FF D9 ends the file; an EXIF thumbnail's own FF D9 comes before the scan.
    cut_jpeg = data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda")
    cut_png = data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]
    if cut_jpeg or cut_png:
        raise ImageError(f"{name}: the image is cut off after {len(data)} bytes; copy it again")
