"""The size of an image from the first bytes of its file: a scene of thousands opens in a second."""

from __future__ import annotations

import struct
from pathlib import Path

from relpose_ros.datasets.image_files import image_size
from relpose_ros.errors import ImageError

HEAD = 1 << 18
"""Bytes that are read; EXIF data before the size is at most a quarter of it."""
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""


def quick_image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file, as stored (EXIF orientation is ignored).

    PNG and JPEG are not decoded, others are. Raises ImageError.
    """
    try:
        with path.open("rb") as file:
            data = file.read(HEAD)
    except OSError as error:
        raise ImageError(f"{path}: cannot read the image ({error.strerror})") from error
    size = _png_size(data) or _jpeg_size(data)
    return size or image_size(path)


def _png_size(data: bytes) -> tuple[int, int] | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first frame header; None for what is no whole JPEG."""
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(width), int(height)
        padding = marker == 0xFF
        at += (
            1 if padding else 2 if marker in JPEG_ALONE else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        )
    return None
