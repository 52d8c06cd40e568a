"""How large an image is by its own header: asked before it is decoded, since a decoder takes that memory.

The formats: PNG, JPEG, WebP, TIFF, BMP and PNM (PBM, PGM, PPM), by their published specifications.
"""

from __future__ import annotations

import re
import struct

Size = tuple[int, int]
"""Width and height in pixels, as stored."""

JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""

_PNM = re.compile(rb"P[1-6](?=\s)(?:\s|#[^\r\n]*[\r\n])+(\d{1,10})(?:\s|#[^\r\n]*[\r\n])+(\d{1,10})(?=\s)")

_TIFF_KINDS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 274, 322, 323
_TURNED = range(5, 9)
_LARGEST_TILE = 4096
"""Sides of a tile beyond both this and the image's are no way to store one: a decoder holds whole tiles."""


def claimed_size(data: bytes) -> Size | None:
    """Width and height that the header of these bytes claims; None for what is no such header.

    The first bytes of a file will do, of a TIFF those up to its directory. A TIFF that is turned on its side
    has the size that it is decoded to.
    """
    try:
        claims = (read(data) for read in (_png, _jpeg, _webp, _tiff, _bmp, _pnm))
        size = next((claim for claim in claims if claim is not None), None)
    except struct.error:
        return None  # it ends before the size
    return size if size is not None and min(size) > 0 else None


def overruns(data: bytes) -> bool:
    """Whether a part of a PNG claims to be longer than the rest of the file: decoders take room for it."""
    at = 8 if data.startswith(b"\x89PNG\r\n\x1a\n") else len(data)
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        at += 12 + int(length)
    return at > len(data)


def _png(data: bytes) -> Size | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return int(width), int(height)


def _jpeg(data: bytes) -> Size | None:
    """From the first frame header; what lies between segments is skipped, as decoders do."""
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return int(width), int(height)
        if marker == 0xFF:  # padding
            at += 1
        elif marker == 0 or marker in JPEG_ALONE:
            at += 2
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


def _webp(data: bytes) -> Size | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return (wide + 1, high + 1) if len(data) >= 30 else None
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind != b"VP8 ":
        return None
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp(data: bytes) -> Size | None:
    if data[:2] != b"BM":
        return None
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return int(width), abs(int(height))


def _pnm(data: bytes) -> Size | None:
    found = _PNM.match(data)
    return (int(found[1]), int(found[2])) if found else None


def _tiff(data: bytes) -> Size | None:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return None
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version not in (42, 43):
        return None
    values = _tiff_values(data, order, big=version == 43)
    width, height = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    tile = max(values.get(_TILE_WIDTH, 0), values.get(_TILE_HEIGHT, 0))
    if tile > max(width, height, _LARGEST_TILE):
        return None
    return (height, width) if values.get(_ORIENTATION) in _TURNED else (width, height)


def _tiff_values(data: bytes, order: str, big: bool) -> dict[int, int]:
    """Tag -> value of the first directory, for tags of one whole number; the larger where one is repeated."""
    offset, count, value_at = ("Q", "Q", 12) if big else ("I", "H", 8)
    (start,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + count, data, start)
    entry = value_at + struct.calcsize(offset)
    values: dict[int, int] = {}
    for at in range(start + struct.calcsize(count), len(data) - entry + 1, entry)[: min(entries, 4096)]:
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if kind in _TIFF_KINDS and struct.unpack_from(order + offset, data, at + 4) == (1,):
            (value,) = struct.unpack_from(order + _TIFF_KINDS[kind], data, at + value_at)
            values[tag] = max(values.get(tag, 0), int(value))
    return values
