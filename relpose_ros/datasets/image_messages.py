"""Image messages -> pixels, duck-typed on `sensor_msgs` Image and CompressedImage (no ROS import).

Encoding names and layouts: sensor_msgs/image_encodings.hpp of ROS 2.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError
from relpose_ros.images import decode_image, size_of

LAYOUTS: dict[str, tuple[int, int, str]] = {
    "mono8": (1, 1, ""),
    "8uc1": (1, 1, ""),
    "mono16": (2, 1, ""),
    "bgr8": (1, 3, ""),
    "8uc3": (1, 3, ""),
    "rgb8": (1, 3, "COLOR_RGB2BGR"),
    "bgra8": (1, 4, "COLOR_BGRA2BGR"),
    "8uc4": (1, 4, "COLOR_BGRA2BGR"),
    "rgba8": (1, 4, "COLOR_RGBA2BGR"),
    "bgr16": (2, 3, ""),
    "rgb16": (2, 3, "COLOR_RGB2BGR"),
    "uyvy": (1, 2, "COLOR_YUV2BGR_UYVY"),
    "yuv422": (1, 2, "COLOR_YUV2BGR_UYVY"),
    "yuyv": (1, 2, "COLOR_YUV2BGR_YUY2"),
    "yuv422_yuy2": (1, 2, "COLOR_YUV2BGR_YUY2"),
    # OpenCV names a Bayer pattern after the second row and column, ROS after the first.
    "bayer_rggb8": (1, 1, "COLOR_BayerBG2BGR"),
    "bayer_bggr8": (1, 1, "COLOR_BayerRG2BGR"),
    "bayer_gbrg8": (1, 1, "COLOR_BayerGR2BGR"),
    "bayer_grbg8": (1, 1, "COLOR_BayerGB2BGR"),
    "bayer_rggb16": (2, 1, "COLOR_BayerBG2BGR"),
    "bayer_bggr16": (2, 1, "COLOR_BayerRG2BGR"),
    "bayer_gbrg16": (2, 1, "COLOR_BayerGR2BGR"),
    "bayer_grbg16": (2, 1, "COLOR_BayerGB2BGR"),
}
"""Lower-case encoding -> bytes a value, values a pixel, OpenCV conversion to BGR ("": none)."""


def image_from_message(message: Any, name: str) -> NDArray[np.uint8]:
    """Pixels (H, W) grey or (H, W, 3) BGR, uint8; 16-bit values are scaled to 8.

    Raises ImageError, naming `name`, for an unknown encoding, depth, or sizes that do not agree.
    """
    if hasattr(message, "encoding"):
        return _raw(message, name)
    _refuse_depth(message, name)
    return decode_image(bytes(message.data), name)


def size_from_message(message: Any, name: str) -> tuple[int, int]:
    """Width and height that a message claims, a compressed one by its header; nothing is decoded.

    Raises ImageError, naming `name`, for compressed bytes that are no image, or of more than `MAX_PIXELS`.
    """
    if hasattr(message, "encoding"):
        return int(message.width), int(message.height)
    _refuse_depth(message, name)
    return size_of(bytes(message.data), name)


def _refuse_depth(message: Any, name: str) -> None:
    if "compresseddepth" in str(message.format).lower().replace(" ", ""):
        raise ImageError(
            f"{name}: format {message.format!r} is a depth image; choose the colour or grey topic"
        )


def _raw(message: Any, name: str) -> NDArray[np.uint8]:
    import cv2

    bytes_per_value, channels, conversion = _layout(message, name)
    height, width = int(message.height), int(message.width)
    row_bytes = width * channels * bytes_per_value
    pixels = _rows(message, row_bytes, name)
    if bytes_per_value == 2:
        order: Literal[">", "<"] = ">" if message.is_bigendian else "<"
        wide = np.ascontiguousarray(pixels).view(np.dtype(np.uint16).newbyteorder(order))
        pixels = ((wide.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    pixels = pixels.reshape((height, width) if channels == 1 else (height, width, channels))
    if conversion:
        try:
            pixels = np.asarray(
                cv2.cvtColor(np.ascontiguousarray(pixels), getattr(cv2, conversion)), np.uint8
            )
        except cv2.error as error:  # an odd width for YUV 4:2:2, a Bayer image of one row
            raise ImageError(f"{name}: {width}x{height} cannot be {message.encoding}: {error.err}") from error
    return np.array(pixels)  # the message's memory is not ours


def _layout(message: Any, name: str) -> tuple[int, int, str]:
    layout = LAYOUTS.get(str(message.encoding).strip().lower())
    if layout is None:
        raise ImageError(
            f"{name}: expected an encoding like mono8, bgr8 or rgb8, got {message.encoding!r}; "
            "choose the colour or grey topic of the camera"
        )
    return layout


def _rows(message: Any, row_bytes: int, name: str) -> NDArray[np.uint8]:
    """The bytes of each row without its padding, (H, row_bytes)."""
    height, step = int(message.height), int(message.step)
    data = np.frombuffer(message.data, np.uint8)
    if height < 1 or row_bytes < 1 or step < row_bytes or data.size < step * (height - 1) + row_bytes:
        raise ImageError(
            f"{name}: {message.width}x{message.height} {message.encoding} needs rows of {row_bytes} bytes, "
            f"got step {step} and {data.size} bytes in all; the message is broken"
        )
    # The padding of the last row may be missing.
    return np.lib.stride_tricks.as_strided(data, (height, row_bytes), (step, 1), writeable=False)
