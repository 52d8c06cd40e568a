"""Images at the door: a ROS image message becomes uint8 grey (H, W) or BGR (H, W, 3).

The robot's own cv_bridge converts where it is installed, `datasets.image_messages` (which reads
bags too) elsewhere. The package called cv-bridge on PyPI converts wrongly and is not used.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from relpose_ros.datasets import image_messages
from relpose_ros.errors import ImageError

Pixels = NDArray[np.uint8]

NOT_PICTURES = ("8SC", "16UC", "16SC", "32SC", "32FC", "64FC")
"""How the encodings of depth, float and signed images begin."""


def image_from_message(message: Image | CompressedImage, name: str = "image") -> Pixels:
    """The pixels of a raw or compressed image message: uint8, (H, W) or (H, W, 3) BGR.

    Raises ImageError, naming `name`, for an image that is empty, not a picture (depth, float), of
    unknown encoding, smaller than it claims, or that does not decode.
    """
    kind = _refuse_no_picture(message, name)
    # cv_bridge takes 8UCn for numbers without colour and would refuse them.
    if isinstance(message, Image) and has_cv_bridge() and not kind.startswith("8UC"):
        return by_cv_bridge(message, name)
    return image_messages.image_from_message(message, name)


def size_from_message(message: Image | CompressedImage, name: str = "image") -> tuple[int, int]:
    """Width and height that a message claims, before anything of that size is made.

    Raises ImageError, naming `name`, for what is empty, not a picture or, compressed, no image.
    """
    _refuse_no_picture(message, name)
    return image_messages.size_from_message(message, name)


def _refuse_no_picture(message: Image | CompressedImage, name: str) -> str:
    """The kind of image, in capitals."""
    kind: str = message.format if isinstance(message, CompressedImage) else message.encoding
    _refuse_empty(message, name)
    if kind.strip().upper().startswith(NOT_PICTURES):
        raise ImageError(
            f"{name}: {kind!r} is a depth or float image, not a picture; remap `image` to the colour or "
            "grey topic of the camera"
        )
    return kind.strip().upper()


def _refuse_empty(message: Image | CompressedImage, name: str) -> None:
    sizes = f"{len(message.data)} bytes"
    empty = not len(message.data)
    if isinstance(message, Image):
        sizes = f"{message.width}x{message.height} pixels, {sizes}"
        empty = empty or not message.width or not message.height
    if empty:
        raise ImageError(f"{name}: the image is empty ({sizes}); look after the camera driver")


@cache
def has_cv_bridge() -> bool:
    """Whether the compiled cv_bridge of a ROS distribution is there (not the one on PyPI)."""
    if importlib.util.find_spec("cv_bridge") is None:
        return False
    return importlib.util.find_spec("cv_bridge.boost") is not None


def by_cv_bridge(message: Image, name: str) -> Pixels:
    """cv_bridge's conversion. Sizes are checked first: cv_bridge does not say what is wrong."""
    from cv_bridge import CvBridge, CvBridgeError

    if message.step * message.height > len(message.data) or message.step < message.width:
        raise ImageError(
            f"{name}: {message.width}x{message.height} {message.encoding} with step {message.step} does not "
            f"fit in {len(message.data)} bytes; the message is broken"
        )
    is_grey = message.encoding.lower() in ("mono8", "mono16")
    try:
        image = CvBridge().imgmsg_to_cv2(message, desired_encoding="mono8" if is_grey else "bgr8")
    except (CvBridgeError, ValueError, TypeError) as error:
        raise ImageError(f"{name}: cv_bridge cannot convert {message.encoding!r}: {error}") from error
    return np.ascontiguousarray(image, np.uint8)
