"""Images of a few hundred bytes whose headers claim what they do not hold."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

PIXELS = np.full((24, 40, 3), 90, np.uint8)


def encoded(suffix: str, image: np.ndarray = PIXELS, *flags: int) -> bytes:
    return cv2.imencode(suffix, image, flags)[1].tobytes()


def png(width: int, height: int) -> bytes:
    """With the checksum that the header needs."""
    header = b"IHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"
    data = encoded(".png")
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def jpeg(width: int, height: int, *flags: int) -> bytes:
    data = encoded(".jpg", PIXELS, *flags)
    at = data.index(struct.pack(">HH", *PIXELS.shape[:2]))
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def webp(width: int, height: int) -> bytes:
    """Without loss: the fourteen bits of each side."""
    data = bytearray(encoded(".webp"))
    bits = struct.unpack_from("<I", data, 21)[0] >> 28 << 28
    struct.pack_into("<I", data, 21, bits | (height - 1) << 14 | (width - 1))
    return bytes(data)


def webp_with_loss(width: int, height: int) -> bytes:
    data = bytearray(encoded(".webp", PIXELS, cv2.IMWRITE_WEBP_QUALITY, 80))
    struct.pack_into("<HH", data, 26, width, height)
    return bytes(data)


def tiff(width: int, height: int, orientation: int = 1, tile: int = 0) -> bytes:
    """With a directory of its own behind everything else."""
    data = encoded(".tiff")
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [struct.unpack_from("<HHII", data, start + 2 + 12 * i) for i in range(count)]
    changed = {256: width, 257: height, 274: orientation} | ({322: tile, 323: tile} if tile else {})
    kept = [e for e in entries if e[0] not in changed]
    directory = sorted([*kept, *((tag, 4, 1, value) for tag, value in changed.items())])
    packed = b"".join(struct.pack("<HHII", *entry) for entry in directory)
    return (
        data[:4]
        + struct.pack("<I", len(data))
        + data[8:]
        + struct.pack("<H", len(directory))
        + packed
        + bytes(4)
    )


def bmp(width: int, height: int) -> bytes:
    """Run-length encoded, which may leave all pixels out."""
    palette, end = bytes(4 * 256), b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(end), 0, 0, 256, 0)
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(end), 0, 0, offset) + header + palette + end


def ppm(width: int, height: int) -> bytes:
    return b"P6\n# a comment 7 7\n%d %d\n255\n" % (width, height) + bytes(300)


CLAIMING = {
    "png": png,
    "jpeg": jpeg,
    "progressive jpeg": lambda w, h: jpeg(w, h, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "webp": webp,
    "webp with loss": webp_with_loss,
    "tiff": tiff,
    "bmp": bmp,
    "ppm": ppm,
}
"""Kind -> bytes of at most some kilobytes that claim a width and a height."""
