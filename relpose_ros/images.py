"""Image bytes -> pixels: the one place where images are decoded.

EXIF orientation is ignored on purpose: calibrations describe the stored pixels, not the turned picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError
from relpose_ros.image_sizes import claimed_size, overruns

MAX_PIXELS = 200_000_000
"""Of an image that is decoded at all, 600 MB in colour: the largest cameras have 151 (aerial) and 200 million
(phones), and the header of a broken or hostile file claims anything."""


def decode_image(data: bytes, name: str, grey: bool = False) -> NDArray[np.uint8]:
    """Compressed bytes -> uint8 pixels, (H, W) grey or (H, W, 3) BGR; with `grey` always (H, W).

    Raises ImageError, naming `name`, when there is nothing, not an image, a truncated one, or one that claims
    more than `MAX_PIXELS`.
    """
    import cv2

    refuse_truncated(data, name)
    colours = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_ANYCOLOR
    flags = colours | cv2.IMREAD_IGNORE_ORIENTATION
    image = imdecode(data, flags, name)
    if image is None:
        raise _not_an_image(data, name)
    return np.ascontiguousarray(image, np.uint8)


def read_bytes(path: Path) -> bytes:
    """All of a file. Raises ImageError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot read the image ({error.strerror})") from error


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """Width and height that compressed bytes claim (their beginning will do, see `claimed_size`).

    Raises ImageError, naming `name`, for what is no image, or claims more than `MAX_PIXELS`.
    """
    size = claimed_size(data)
    if size is None:
        refuse_truncated(data, name)
        raise _not_an_image(data, name)
    _refuse_enormous(size, data, name)
    return size


def imdecode(data: bytes, flags: int, name: str) -> NDArray[Any] | None:
    """OpenCV's decoder, with None for whatever it cannot make sense of, and for formats whose size cannot be
    read beforehand. Raises ImageError, naming `name`, for claims of more than `MAX_PIXELS`.
    """
    import cv2

    size = claimed_size(data)
    if size is None or overruns(data):
        return None
    _refuse_enormous(size, data, name)
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # OpenCV raises for absurd sizes instead of returning None
        return None


def _refuse_enormous(size: tuple[int, int], data: bytes, name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(
            f"{name}: expected an image of at most {MAX_PIXELS // 10**6} million pixels, got {len(data)} "
            f"bytes that claim {size[0]}x{size[1]}; the file or message is broken, or not meant well"
        )


def _not_an_image(data: bytes, name: str) -> ImageError:
    return ImageError(
        f"{name}: expected an image (PNG, JPEG, WebP, TIFF, BMP or PNM), got {len(data)} bytes that OpenCV "
        "cannot decode"
    )


def refuse_truncated(data: bytes, name: str) -> None:
    """OpenCV fills the missing part of a cut file with grey and says nothing; we refuse it."""
    if not data:
        raise ImageError(f"{name}: the image is empty (0 bytes); copy it again")
    # FF DA starts a scan and FF D9 ends the file; an EXIF thumbnail's own FF D9 comes before the scan.
    cut_jpeg = data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda")
    cut_png = data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]
    if cut_jpeg or cut_png:
        raise ImageError(f"{name}: the image is cut off after {len(data)} bytes; copy it again")
