"""Which pixels of an image are to be used: masks by stamp from a topic, or one from a file."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from relpose_ros.errors import ImageError
from relpose_ros.nodes.images import image_from_message
from relpose_ros.nodes.messages import nanoseconds
from relpose_ros.nodes.parameters import Parameter

Pixels = NDArray[np.uint8]

MASK_PARAMETERS = (
    Parameter("mask_topic", "", "topic of masks: sensor_msgs/Image, mono8, with the stamp and the size of "
              "their images, 0 on pixels to ignore (a person, the robot's arm); with `cameras` below each "
              "camera's name; empty: none"),
    Parameter("mask_timeout", 0.1, "seconds that an image waits for its mask, while masks come at all",
              range=(0.0, 2.0)),
    Parameter("unmasked_images", "use", "what is done with an image whose mask did not come, or does not "
              "fit: use (all of it, or what mask_file leaves) or refuse", choices=("use", "refuse")),
    Parameter("mask_file", "", "image file (PNG) of the camera's size, 0 on pixels to ignore always (the "
              "robot's own body); {camera} in it stands for the camera's name; empty: none"),
)  # fmt: skip
"""Parameters of nodes that take masks."""

KEPT = 5
"""Masks that wait for their image, at most: they are as large as images."""

SILENCE = 1.0
"""Seconds without any mask after which images do not wait for theirs."""


class MaskBuffer:
    """Recent masks by stamp. Thread-safe. `timeout` as the parameter; `clock` in seconds that never run back.

    An image waits for its mask only while masks come, so that images go on when they stop.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout, self._clock = timeout, clock
        self._by_stamp: OrderedDict[int, Image] = OrderedDict()
        self._came = -float("inf")
        self._change = threading.Condition()

    def add(self, message: Image) -> None:
        """Remember a mask."""
        with self._change:
            self._came = self._clock()
            self._by_stamp[nanoseconds(message.header.stamp)] = message
            while len(self._by_stamp) > KEPT:
                self._by_stamp.popitem(last=False)
            self._change.notify_all()

    def mask_of(self, stamp_ns: int) -> Image | None:
        """The mask of an image, given out once; None where it has not come in time."""
        with self._change:
            if self._clock() - self._came < SILENCE:
                self._change.wait_for(lambda: stamp_ns in self._by_stamp, self._timeout)
            return self._by_stamp.pop(stamp_ns, None)

    def forget(self) -> None:
        """Time has jumped back."""
        with self._change:
            self._by_stamp.clear()


def mask_from_message(message: Image, image: Pixels, name: str) -> Pixels:
    """A mask (H, W) of an image. Raises ImageError, naming `name`, for one that is none."""
    mask = image_from_message(message, name)
    if mask.shape != image.shape[:2]:
        shape = "x".join(map(str, mask.shape))
        raise ImageError(
            f"{name}: expected a mono8 mask of {image.shape[0]}x{image.shape[1]} (height x width) as its "
            f"image, got {message.encoding} of {shape}"
        )
    return mask


def both(first: Pixels | None, second: Pixels | None) -> Pixels | None:
    """What neither of two masks ignores."""
    if first is None or second is None:
        return first if second is None else second
    return np.asarray(np.where(first != 0, second, 0), np.uint8)
